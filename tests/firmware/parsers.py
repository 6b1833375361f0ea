"""The firmware's readers, asked one line at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def hexed(data: bytes) -> str:
    """An argument: hexadecimal, or - for nothing."""
    return data.hex() or "-"


def unhexed(word: str) -> bytes:
    """A result."""
    return b"" if word == "-" else bytes.fromhex(word)


class Parsers:
    """The program; a finding of its sanitizers ends it, and the next question fails."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str, *arguments: bytes) -> str:
        """One line there, one line back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([word, *map(hexed, arguments)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer.endswith("\n"), f"the parser ended at {word} {[hexed(given) for given in arguments]}"
        return answer[:-1]


@contextmanager
def running(program: Path) -> Iterator[Parsers]:
    """Until the end of the block."""
    with subprocess.Popen(
        [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Parsers(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
