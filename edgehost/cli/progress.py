"""Shows that something is going on once it takes more than a second: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self, TextIO

from edgehost.cli.output import Output

#: What ends within this time needs no word about it.
_QUIET_S: Final = 1.0
#: A line that moves more often than the eye follows only costs time.
_REDRAW_S: Final = 0.2
_BAR_WIDTH: Final = 30


class Progress:
    """Says how long it has been and, once ``moved_to`` was told, how far it is.

    Elsewhere than on a terminal it speaks after 1, 2, 4, 8 ... seconds: a log file is no place for a moving bar.
    """

    def __init__(self, what: str, out: Output, *, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._moving = self._stream.isatty()
        self._done = self._total = 0
        self._is_over = threading.Event()
        self._teller = (
            None
            if out.as_json
            else threading.Thread(target=self._tell, name="edgehost.progress", daemon=True)
        )

    def moved_to(self, done: int, total: int) -> None:
        """So much of so much is done."""
        self._done, self._total = done, total

    def __enter__(self) -> Self:
        """The clock runs."""
        if self._teller is not None:
            self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The terminal's line is free again."""
        self._is_over.set()
        if self._teller is not None:
            self._teller.join()

    def _tell(self) -> None:
        began = time.monotonic()
        next_s = _QUIET_S
        has_drawn = False
        while not self._is_over.wait(max(next_s - (time.monotonic() - began), 0.0)):
            waited_s = time.monotonic() - began
            self._stream.write(
                f"\r{self._line(waited_s)}\x1b[K" if self._moving else f"{self._line(waited_s)}\n"
            )
            self._stream.flush()
            has_drawn = True
            next_s = waited_s + _REDRAW_S if self._moving else 2 * next_s
        if has_drawn and self._moving:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, waited_s: float) -> str:
        if not self._total:
            return f"{self._what}: {waited_s:.0f} s"
        share = min(self._done / self._total, 1.0)
        text = f"{share:4.0%}, {self._done} of {self._total}, {waited_s:.0f} s"
        if not self._moving:
            return f"{self._what}: {text.strip()}"
        filled = round(share * _BAR_WIDTH)
        return f"{self._what} [{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {text}"
