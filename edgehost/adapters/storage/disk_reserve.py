"""A few small files that are given up when the disk is full, so that a host still starts and can be reached.

A start needs an inode for its socket and a block or two for its records of itself; who fills the disk leaves neither.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger("edgehost.disk")

#: One for the socket, one for a file that takes another's place, one to spare.
_FILES: Final = 3
#: Written once in the life of a data folder. Random, as some file systems store zeros in no room at all.
_FILE_BYTES: Final = 16 * 1024
#: With less than this the reserve is not made anew: what is left is for records.
_PLENTY_BYTES: Final = 8 * 1024 * 1024
_PLENTY_INODES: Final = 64


class DiskReserve:
    """The files of one folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = [folder / f"reserve-{number}" for number in range(_FILES)]

    def settle(self) -> None:
        """Give the reserve up when the disk is full; make it when there is plenty of room."""
        try:
            disk = os.statvfs(self._folder)
            free_bytes = disk.f_bavail * disk.f_frsize
            free_inodes = disk.f_favail if disk.f_files else _PLENTY_INODES
            if free_inodes < _FILES or free_bytes < _FILES * _FILE_BYTES:
                self._give_up()
            elif free_inodes >= _PLENTY_INODES and free_bytes >= _PLENTY_BYTES:
                self._make()
        except OSError as problem:
            log.warning("The disk's reserve in %s could not be settled: %s", self._folder, problem)

    def _make(self) -> None:
        for path in self._paths:
            if not path.exists():
                path.write_bytes(os.urandom(_FILE_BYTES))

    def _give_up(self) -> None:
        given = [path for path in self._paths if path.exists()]
        for path in given:
            path.unlink()
        if given:
            log.warning(
                "The disk is full: the reserve in %s is given up, so that the host can start.", self._folder
            )
