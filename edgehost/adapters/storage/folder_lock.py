"""One host per folder: two writers of one journal would undo each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from edgehost.domain.errors import UnavailableError

_LOCK_FILE = "lock"
_PID_BYTES = 32


class FolderLock:
    """Held from construction to ``release``; the kernel lets go by itself when the process dies."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise UnavailableError(
                f"The folder {folder} is in use by another host{f' (process {owner})' if owner else ''}.",
                hint="Stop that host, or give this one a data folder of its own.",
            ) from error
        with contextlib.suppress(
            OSError
        ):  # the number is a courtesy: a full disk must not keep a host from starting
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let the next host in; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
