"""The last lines of the host's own log, in memory: disks wear out, and a journal may not be at hand."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

_LINES: Final = 500
_LONGEST: Final = 1000


class LastLines(logging.Handler):
    """Keeps them, cut to a length."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        try:
            self.lines.append(self.format(record)[:_LONGEST])
        except Exception:  # noqa: BLE001 - as every handler of the library does
            self.handleError(record)
