"""A disk that counts the bytes it is given."""

from __future__ import annotations

import threading

from edgehost.adapters.storage.disk import Disk


class MeteredDisk(Disk):
    """Counts what is written through it; the file system's own bookkeeping comes on top."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.written_bytes = 0
        self.syncs = 0

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """All of the bytes, at this offset."""
        super().write(descriptor, data, offset)
        with self._lock:
            self.written_bytes += len(data)

    def sync(self, descriptor: int) -> None:
        """Wait until the file's bytes and its size are on the medium."""
        super().sync(descriptor)
        with self._lock:
            self.syncs += 1
