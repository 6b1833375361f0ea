"""How a board is written, as 'edgehost flash' and 'edgehost fleet flash' take it."""

from __future__ import annotations

import argparse
from typing import Final

from edgehost.domain.board import ALL_TOOLS

_LEAST_BAUD: Final = 300
_MOST_BAUD: Final = 8_000_000


def add_baud(group: argparse._ActionsContainer) -> None:
    """How fast."""
    group.add_argument(
        "--baud", metavar="N", type=_baud, default=0, help="bits per second; default: the board's"
    )


def add_manner(group: argparse._ActionsContainer, dry_run: str) -> None:
    """By what, and how carefully."""
    group.add_argument(
        "--tool",
        choices=ALL_TOOLS,
        default="",
        help="what writes it: built-in or esptool (ESP chips), openocd or pyocd (debug probes); default: the board's",
    )
    group.add_argument("--dry-run", action="store_true", help=dry_run)
    group.add_argument("--no-verify", action="store_true", help="do not read back what was written")
    group.add_argument("--erase-all", action="store_true", help="erase what lies beside the image too")


def _baud(text: str) -> int:
    try:
        baud = int(text)
    except ValueError:
        baud = 0
    if not _LEAST_BAUD <= baud <= _MOST_BAUD:
        raise argparse.ArgumentTypeError(f"'{text}' is no speed between {_LEAST_BAUD} and {_MOST_BAUD}")
    return baud
