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
    """Held from construction to ``release``; the kernel lets go by itself when the process dies.

    ``reads_only``: nothing is written for it, so a folder that is not there or cannot be locked has no lock.
    """

    def __init__(self, folder: Path, *, reads_only: bool = False) -> None:
        if reads_only:
            self._descriptor = _readable(folder)
            if self._descriptor < 0:
                return
        else:
            self._descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _owner(self._descriptor)
            self.release()
            raise UnavailableError(
                f"The folder {folder} is in use by another host{f' (process {owner})' if owner else ''}.",
                hint="Stop that host, or give this one a data folder of its own.",
            ) from error
        except OSError:  # NFS locks nothing that is open for reading only
            self.release()
            if not reads_only:
                raise
        if reads_only:
            return
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


def _readable(folder: Path) -> int:
    """The lock's file, else the folder itself, which can be locked as well; -1 when neither can be opened."""
    for path in (folder / _LOCK_FILE, folder):
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return -1


def _owner(descriptor: int) -> str:
    try:
        return os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
    except OSError:  # a folder
        return ""
