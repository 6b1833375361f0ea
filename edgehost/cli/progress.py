"""Shows that something is going on once it takes more than a second: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TextIO

from edgehost.cli.output import Output, size

#: What ends within this time needs no word about it.
_QUIET_S: Final = 1.0
#: A bar that moves more often than the eye follows only costs time.
_REDRAW_S: Final = 0.1
#: A log file is no place for a moving bar.
_PLAIN_LINE_S: Final = 5.0
_BAR_WIDTH: Final = 30


class Progress:
    """Counts bytes or steps towards a known total; ``moved_to`` fits every ``progress`` callback."""

    def __init__(
        self, what: str, out: Output, *, in_bytes: bool = True, stream: TextIO | None = None
    ) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._shown = not out.as_json
        self._in_bytes = in_bytes
        self._drawn = False
        self._next_at = time.monotonic() + _QUIET_S

    def __enter__(self) -> Self:
        """Nothing is drawn yet."""
        return self

    def moved_to(self, done: int, total: int) -> None:
        """So much of so much is done."""
        now = time.monotonic()
        if not self._shown or (now < self._next_at and not (self._drawn and done == total)):
            return
        share = min(done / total, 1.0) if total else 0.0
        figures = f"{size(done)} of {size(total)}" if self._in_bytes else f"{done} of {total}"
        if self._stream.isatty():
            filled = round(share * _BAR_WIDTH)
            bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
            self._stream.write(f"\r{self._what} [{bar}] {share:4.0%} {figures}\x1b[K")
            self._next_at = now + _REDRAW_S
        else:
            self._stream.write(f"{self._what}: {share:.0%}, {figures}\n")
            self._next_at = now + _PLAIN_LINE_S
        self._stream.flush()
        self._drawn = True

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The terminal's line is free again."""
        if self._drawn and self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def waiting(what: str, out: Output, *, stream: TextIO | None = None) -> Iterator[None]:
    """Say that we wait and for how long, where no share can be known: after 1, 2, 4, 8 ... seconds."""
    if out.as_json:
        yield
        return
    target = sys.stderr if stream is None else stream
    is_over = threading.Event()

    def tell() -> None:
        seconds = _QUIET_S
        waited = 0.0
        while not is_over.wait(seconds - waited):
            waited = seconds
            end = "\x1b[K\r" if target.isatty() else "\n"
            target.write(f"{what}: {waited:.0f} s{end}")
            target.flush()
            seconds *= 2

    teller = threading.Thread(target=tell, name="edgehost.progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()
        if target.isatty():
            target.write("\x1b[K")
            target.flush()
