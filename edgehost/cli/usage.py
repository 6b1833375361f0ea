"""The error of a command line that its parser cannot see to be wrong."""

from __future__ import annotations


class UsageError(Exception):
    """The command line is wrong; the message says where."""
