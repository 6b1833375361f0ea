"""The ``edgehost`` command: finds the sub-command and imports only that one."""

from __future__ import annotations


def main() -> int:
    """Run the command line; returns the exit code."""
    return 2
