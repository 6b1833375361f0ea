"""Files under one folder, reached step by step without ever following a link, so that no way leads out of it.

Each step of a path is opened relative to the folder before it, and refused when it is a link: there is nothing
between the check and the use that somebody could exchange.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edgehost.domain.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    StorageFullError,
    TooLargeError,
    UnavailableError,
)

_DEEPEST: Final = 16
_LONGEST_NAME: Final = 255
_NEW: Final = ".edgehost-new-"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # a pipe's open would wait for its writer
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ConfinedFolder:
    """Blocking; used by one thread at a time for writes."""

    def __init__(self, folder: Path, *, file_bytes: int, entries: int, total_bytes: int) -> None:
        self._folder = folder
        self._file_bytes, self._entries, self._total_bytes = file_bytes, entries, total_bytes
        self._used: int | None = None  # counted at the first write

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            NotFoundError, RefusedError, TooLargeError, UnavailableError.
        """
        with self._parent(path) as (parent, name), _told(path):
            descriptor = os.open(name, _READ, dir_fd=parent)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise RefusedError(f"{path[:200]!r} is no plain file.")
                content = file.read(self._file_bytes + 1)
        if len(content) > self._file_bytes:
            raise TooLargeError(f"{path[:200]!r} has more than {self._file_bytes} bytes.")
        return content

    def names(self, path: str) -> list[dict[str, Any]]:
        """What is in a folder: ``{"name", "kind", "size_bytes"}``, by name.

        Raises:
            NotFoundError, RefusedError, TooLargeError, UnavailableError.
        """
        found: list[dict[str, Any]] = []
        with self._opened(_steps(path, empty=True)) as folder, _told(path), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(_NEW):
                    continue
                if len(found) == self._entries:
                    raise TooLargeError(f"{path[:200]!r} holds more than {self._entries} names.")
                facts = entry.stat(follow_symlinks=False)
                kind = (
                    "folder"
                    if stat.S_ISDIR(facts.st_mode)
                    else "file"
                    if stat.S_ISREG(facts.st_mode)
                    else "other"
                )
                found.append({"name": entry.name, "kind": kind, "size_bytes": facts.st_size})
        return sorted(found, key=lambda each: str(each["name"]))

    def write(self, path: str, content: bytes) -> None:
        """Replace or create the file, whole or not at all; missing folders are made.

        Raises:
            RefusedError, TooLargeError, StorageFullError, UnavailableError.
        """
        if len(content) > self._file_bytes:
            raise TooLargeError(f"The file would have {len(content)} bytes; {self._file_bytes} are allowed.")
        with self._parent(path, make=True) as (parent, name), _told(path):
            before = self._size(parent, name, path)
            after = self._counted() - before + len(content)
            if after > self._total_bytes:
                raise StorageFullError(
                    f"The folder would hold {after} bytes; {self._total_bytes} are allowed.",
                    hint="Delete files, or raise total_kib of the service.",
                )
            new = f"{_NEW}{secrets.token_hex(8)}"
            descriptor = os.open(new, _CREATE, 0o640, dir_fd=parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=parent)
                raise
            os.fsync(parent)
            self._used = after

    def delete(self, path: str) -> bool:
        """Remove a file; False when there was none.

        Raises:
            RefusedError, UnavailableError.
        """
        try:
            with self._parent(path) as (parent, name), _told(path):
                size = self._size(parent, name, path)
                used = self._counted()
                os.unlink(name, dir_fd=parent)
                os.fsync(parent)
                self._used = used - size
        except NotFoundError:
            return False
        return True

    def trouble(self) -> str:
        """Why the folder cannot be used; empty when it can."""
        try:
            os.close(os.open(self._folder, _FOLDER))
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        return ""

    @contextmanager
    def _opened(self, steps: list[str], *, make: bool = False) -> Iterator[int]:
        with _told("/".join(steps)):
            descriptor = os.open(self._folder, _FOLDER)
            try:
                for step in steps:
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(step, 0o750, dir_fd=descriptor)
                    inner = os.open(step, _FOLDER, dir_fd=descriptor)
                    os.close(descriptor)
                    descriptor = inner
                yield descriptor
            finally:
                os.close(descriptor)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        *steps, name = _steps(path)
        with self._opened(steps, make=make) as parent:
            yield parent, name

    def _size(self, parent: int, name: str, path: str) -> int:
        try:
            facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedError(f"{path[:200]!r} is no plain file.")
        return facts.st_size

    def _counted(self) -> int:
        if self._used is None:
            used = 0
            for folder, _, names in os.walk(self._folder):
                for name in names:
                    with suppress(OSError):
                        used += Path(folder, name).lstat().st_size
            self._used = used
        return self._used


def _steps(path: str, *, empty: bool = False) -> list[str]:
    """The steps of a relative path.

    Raises:
        RefusedError: it is none, or could lead out.
    """
    if empty and not path:
        return []
    steps = path.split("/")
    if len(steps) > _DEEPEST or any(
        not step or step in {".", ".."} or "\0" in step or len(step.encode()) > _LONGEST_NAME
        for step in steps
    ):
        raise RefusedError(
            f"{path[:200]!r} is no path below the folder.",
            hint="Write it relative to the folder, without '.', '..' and empty steps.",
        )
    if any(step.startswith(_NEW) for step in steps):
        raise RefusedError(f"Names that start with {_NEW!r} are the service's own.")
    return steps


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"There is no {path[:200]!r} here.") from None
    except IsADirectoryError:
        raise RefusedError(f"{path[:200]!r} is a folder.") from None
    except FileExistsError:
        raise ConflictError(f"{path[:200]!r} is there already.") from None
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(f"There is no room for {path[:200]!r}.") from None
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{path[:200]!r} leads over a link, which is not followed.") from None
        raise UnavailableError(f"{path[:200]!r}: {error.strerror}.") from None
