"""What ``edgehost boards detect`` shows: each line with its guess and the reason for it."""

from __future__ import annotations

from edgehost.cli.output import Output, one_line, table
from edgehost.composition.boards import make_lines
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.usecases.choose_line import Guess, guess

_MOST_NAMES = 4


async def show_guesses(catalog: BoardCatalog, out: Output) -> None:
    """The lines of this machine, and what may be at their ends."""
    guesses = [guess(line, catalog) for line in await make_lines().found()]
    if not guesses:
        out.result({"lines": []}, "No serial line is there. Is the cable one that carries data?")
        return
    rows = [
        (each.line.path, each.line.usb or "-", each.line.serial_number or "-", _names(each), each.why)
        for each in guesses
    ]
    out.result(
        {"lines": [each.document() for each in guesses]},
        *(one_line(row) for row in table(("line", "usb", "serial", "board", "why"), rows)),
    )


def _names(each: Guess) -> str:
    names = [board.id for board in each.boards]
    shown = " or ".join(names[:_MOST_NAMES]) or "?"
    return f"{shown} or {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
