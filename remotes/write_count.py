"""Bytes that remotes wrote to the disk: what is trusted, and chunks on their way."""

from __future__ import annotations

import threading
from typing import Final


class WriteCount:
    """Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, size_bytes: int) -> None:
        """So many more were written."""
        with self._lock:
            self.count += size_bytes


#: Of this process, and of the trust processes that told it what they wrote.
WRITTEN: Final = WriteCount()
