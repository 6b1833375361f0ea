"""On which line of a TOML text a key stands, for messages about what it means; the parser keeps no places."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED: Final = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*")
_PART: Final = re.compile(_KEY)
#: What a value is made of, so that brackets and commas within texts are no structure.
_TOKEN: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{},=\n]|[^\[\]{},=\n"\'#]+|.',
    re.DOTALL,
)


def line_of(text: str, path: str) -> int:
    """The line, from 1, of the key with this dotted path, or of the nearest table around it; 0 when there is none."""
    return line_in(key_lines(text), path)


def line_in(lines: Mapping[str, int], path: str) -> int:
    """As ``line_of``, in what ``key_lines`` found."""
    while path:
        if path in lines:
            return lines[path]
        path = path[: path.rindex("[")] if path.endswith("]") else path.rpartition(".")[0]
    return 0


def key_lines(text: str) -> Mapping[str, int]:
    """Every key and table of a text that is TOML, as ``a.b[0].c``, with its line."""
    return dict(reversed(list(_Walk(text).keys())))  # the first place of a path is its place


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._arrays: Counter[str] = Counter()
        self._line_ends = [at for at, character in enumerate(text) if character == "\n"]

    def keys(self) -> Iterator[tuple[str, int]]:
        table = ""
        while self._at < len(self._text):
            self._skip_blank()
            if self._at >= len(self._text):
                return
            line = self._line()
            if self._text.startswith("[[", self._at):
                table = self._element(self._dotted(2))
                yield table, line
                self._rest_of_line()
            elif self._text[self._at] == "[":
                table = self._in_arrays(self._dotted(1))
                yield table, line
                self._rest_of_line()
            else:
                yield from self._pair(table)
                self._rest_of_line()

    def _pair(self, table: str) -> Iterator[tuple[str, int]]:
        line = self._line()
        parts = self._dotted(0)
        for number in range(len(parts)):
            yield _joined(table, parts[: number + 1]), line
        if self._at < len(self._text) and self._text[self._at] == "=":
            self._at += 1
            yield from self._value(_joined(table, parts))

    def _value(self, path: str) -> Iterator[tuple[str, int]]:
        self._skip_spaces()
        start = self._text[self._at : self._at + 1]
        if start == "{":
            self._at += 1
            yield from self._inline_table(path)
        elif start == "[":
            self._at += 1
            yield from self._array(path)
        else:
            self._skip_scalar()

    def _inline_table(self, path: str) -> Iterator[tuple[str, int]]:
        while self._at < len(self._text):
            self._skip_blank()
            if self._text.startswith("}", self._at):
                self._at += 1
                return
            before = self._at
            if self._text.startswith(",", self._at):
                self._at += 1
            else:
                yield from self._pair(path)
            if self._at == before:
                self._at += 1

    def _array(self, path: str) -> Iterator[tuple[str, int]]:
        index = 0
        while self._at < len(self._text):
            self._skip_blank()
            if self._text.startswith("]", self._at):
                self._at += 1
                return
            if self._text.startswith(",", self._at):
                self._at += 1
                index += 1
                continue
            before = self._at
            yield f"{path}[{index}]", self._line()
            yield from self._value(f"{path}[{index}]")
            if self._at == before:
                self._at += 1

    def _skip_scalar(self) -> None:
        while self._at < len(self._text):
            match = _TOKEN.match(self._text, self._at)
            if match is None or match[0] in "[]{},\n" or match[0].startswith("#"):
                return
            self._at = match.end()

    def _dotted(self, skipped: int) -> list[str]:
        match = _DOTTED.match(self._text, self._at + skipped)
        if match is None:
            self._at += max(1, skipped)
            return []
        self._at = match.end()
        return [_plain(part) for part in _PART.findall(match[1])]

    def _in_arrays(self, parts: list[str]) -> str:
        """The path with the newest element wherever a part is a list of tables."""
        path = ""
        for part in parts:
            path = _joined(path, [part])
            if self._arrays[path]:
                path = f"{path}[{self._arrays[path] - 1}]"
        return path

    def _element(self, parts: list[str]) -> str:
        path = _joined(self._in_arrays(parts[:-1]), parts[-1:])
        self._arrays[path] += 1
        return f"{path}[{self._arrays[path] - 1}]"

    def _skip_spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _skip_blank(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                self._rest_of_line()
            elif self._text[self._at].isspace():
                self._at += 1
            else:
                return

    def _rest_of_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end + 1

    def _line(self) -> int:
        return bisect_left(self._line_ends, self._at) + 1


def _joined(table: str, parts: list[str]) -> str:
    return ".".join([table, *parts] if table else parts)


def _plain(part: str) -> str:
    return part[1:-1] if part[0] in "\"'" else part
