"""Runs a program of others that flashes boards, and reads what it says while it runs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import sys
from asyncio.subprocess import STDOUT
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import FlashFailedError, UnavailableError
from remotes.owned_process import owned_process, tied

_CHUNK: Final = 4096
_MOST_LINE: Final = 4096
_KEPT_LINES: Final = 40
_ENDS: Final = re.compile(rb"[\r\n]+")
#: Python's programs buffer what they say into a pipe, and the pretty ones fold it at 80 columns.
_ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1", "COLUMNS": "400", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class ToolEnd:
    """How it ended, and the last lines that it said."""

    status: int
    lines: tuple[str, ...]

    def said(self, *words: str) -> bool:
        """Whether one of the lines has one of the words."""
        return any(word.lower() in line.lower() for line in self.lines for word in words)

    @property
    def last(self) -> str:
        """The last line with something in it."""
        return next((line for line in reversed(self.lines) if line.strip()), "it said nothing").strip()


def require_tool(program: str, package: str) -> str:
    """The path of a program.

    Raises:
        UnavailableError: it is not installed; the hint names Debian's package.
    """
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(
            f"Boards of this kind are flashed by '{program}', which is not installed.",
            hint=f"sudo apt install {package}",
        )
    return path


def require_python_tool(package: str, extra: str) -> list[str]:
    """The beginning of the command line of a program that is a Python package: beside this one, or on the PATH.

    Raises:
        UnavailableError: it is not installed; the hint names the extra that brings it.
    """
    if importlib.util.find_spec(package) is not None:
        return [sys.executable, "-m", package]
    path = shutil.which(package)
    if path is None:
        raise UnavailableError(
            f"'{package}' was asked for, and is not installed.", hint=f"pip install 'edgehost[{extra}]'"
        )
    return [path]


async def run_tool(
    command: Sequence[str],
    on_line: Callable[[str], None],
    *,
    timeout_s: float,
    on_rest: Callable[[str], None] | None = None,
) -> ToolEnd:
    """Run it to its end. Cancelling ends it and all that it started.

    When this process is killed the kernel kills the program too, so that whoever comes next is alone on the board.

    ``on_line`` gets each line, progress bars included; ``on_rest`` the beginning of one that has not ended yet.

    Raises:
        FlashFailedError: it takes longer than ``timeout_s``.
    """
    try:
        async with (
            asyncio.timeout(timeout_s),
            owned_process(
                tied(command), environment={**os.environ, **_ENVIRONMENT}, stderr=STDOUT
            ) as process,
        ):
            lines = await _read(process, on_line, on_rest)
            return ToolEnd(await process.wait(), lines)
    except TimeoutError:
        raise FlashFailedError(f"{command[0]} has not come to an end in {timeout_s:.0f} s.") from None


async def _read(
    process: asyncio.subprocess.Process,
    on_line: Callable[[str], None],
    on_rest: Callable[[str], None] | None,
) -> tuple[str, ...]:
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    rest = b""
    stream = process.stdout
    if stream is None:
        return ()
    while chunk := await stream.read(_CHUNK):
        *whole, rest = _ENDS.split(rest + chunk)
        if len(rest) > _MOST_LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            _take(line, kept, on_line)
        if rest and on_rest is not None:
            on_rest(rest.decode("utf-8", "replace"))
    _take(rest, kept, on_line)
    return tuple(kept)


def _take(line: bytes, kept: deque[str], on_line: Callable[[str], None]) -> None:
    text = line.decode("utf-8", "replace")
    if text.strip():
        kept.append(text)
        on_line(text)
