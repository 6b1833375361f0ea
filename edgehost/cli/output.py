"""What a command prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


class Output:
    """Plain lines for people, or JSON for programs."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def result(self, document: Mapping[str, Any], *lines: str) -> None:
        """The outcome: one JSON object, or its lines."""
        if self.as_json:
            print(json.dumps(document))
        else:
            for line in lines:
                print(printable(line))

    def item(self, document: Mapping[str, Any], line: str) -> None:
        """One of a stream: one JSON object a line, at once."""
        print(json.dumps(document) if self.as_json else printable(line), flush=True)

    def note(self, line: str) -> None:
        """What is going on, for people only."""
        if not self.as_json:
            print(printable(line), file=sys.stderr, flush=True)

    def error(self, code: str, message: str, hint: str = "") -> None:
        """What went wrong and what to do."""
        if self.as_json:
            document = {"error": {"code": code, "message": message, "hint": hint}}
            print(json.dumps(document), file=sys.stderr)
        else:
            print(printable(f"edgehost: {message} {hint}".rstrip()), file=sys.stderr)


def printable(text: str) -> str:
    """The text without control characters: what a guest or a remote wrote must not steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\t\n" else f"\\x{ord(character):02x}"
        for character in text
    )


def one_line(text: str) -> str:
    """As ``printable``, with its newlines too: what a guest wrote must not look like a line of ours."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns as wide as what stands in them, the last one free."""
    cells = [[str(heading).upper() for heading in headings], *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004 - the step between the units
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
