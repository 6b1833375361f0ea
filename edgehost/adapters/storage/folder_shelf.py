"""Component files by digest in a folder, and the ledger of releases in a journal beside them.

A file is written once, under a temporary name, and appears whole. The ledger grows by one short line for each
change of state, so a deployment writes little more than the component itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from edgehost.adapters.storage.disk import SHORT_ERRNOS, Disk, remove_quietly, storage_error, write_whole_file
from edgehost.adapters.storage.document_codec import encode_document
from edgehost.adapters.storage.journal_lines import Change
from edgehost.adapters.storage.journal_reading import Damage, log_damages
from edgehost.adapters.storage.opening import opened_in_thread
from edgehost.adapters.storage.plain_file import open_plain_file
from edgehost.adapters.storage.release_ledger import (
    MAX_RELEASES,
    changed_entries,
    decode_release,
    encode_release,
    forgotten_entries,
    is_digest,
    require_content,
    require_digest,
)
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.domain.errors import DamagedError, NotFoundError, StorageFullError
from edgehost.domain.release_life import Release

#: Some five thousand components of 50 KB; a host that needs more is told so.
DEFAULT_QUOTA_BYTES: Final = 256 * 1024 * 1024

#: Damaged files kept for a look at what the medium does.
MAX_DAMAGED_FILES: Final = 3

#: The ledger is small: compacting it costs about this much.
_MIN_DEAD_BYTES: Final = 256 * 1024

_TABLE: Final = "releases"
_log = logging.getLogger("edgehost.storage")
ResultT = TypeVar("ResultT")


class FolderShelf:
    """A ReleaseShelf on the disk; made by ``open_shelf``. One thread does all its work, in order."""

    def __init__(
        self,
        folder: Path,
        *,
        disk: Disk | None = None,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
        max_releases: int = MAX_RELEASES,
    ) -> None:
        self._files = folder / "files"
        self._disk = disk or Disk()
        self._quota_bytes = quota_bytes
        self._max_releases = max_releases
        self._ledger = JournalStorage(folder, name=_TABLE, disk=self._disk, min_dead_bytes=_MIN_DEAD_BYTES)
        try:
            self._disk.make_folder(self._files)
            self._sizes = self._read_sizes()
            self._entries = self._read_entries()
            self._ledger.compact_if_worthwhile()
        except OSError as error:
            self._ledger.close()
            raise storage_error(error, self._files) from error
        except BaseException:
            self._ledger.close()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgehost.shelf")

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What of the ledger was found damaged when the shelf was opened."""
        return tuple(self._ledger.journal.damages)

    async def put(self, digest: str, content: bytes) -> None:
        """Keep the file durably.

        Raises:
            DamagedError: the content has another sha256.
            StorageFullError: quota or disk; nothing was changed.
        """
        await self._in_thread(lambda: self._put(require_digest(digest), content))

    async def get(self, digest: str) -> bytes:
        """The file, its digest checked again.

        Raises:
            NotFoundError: it is not on the shelf.
            DamagedError: its bytes have changed; the file is set aside.
        """
        return await self._in_thread(lambda: self._get(digest))

    async def get_part(self, digest: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of the file, unchecked; fewer when it ends before. For whoever has a digest of that part.

        Raises:
            NotFoundError: it is not on the shelf.
            DamagedError: it cannot be read.
        """
        return await self._in_thread(lambda: self._get_part(digest, offset, size_bytes))

    async def has(self, digest: str) -> bool:
        """Whether the file is on the shelf."""
        return digest in self._sizes

    async def releases(self) -> tuple[Release, ...]:
        """The ledger, oldest first."""
        return tuple(self._entries.values())

    async def record(self, *releases: Release) -> None:
        """Write these releases' new state to the ledger, all or none, before returning.

        Raises:
            StorageFullError, UnavailableError: nothing was changed.
        """
        await self._in_thread(lambda: self._record(releases))

    async def forget(self, digests: Iterable[str]) -> None:
        """Drop these releases from the ledger; their files stay until they are collected.

        Raises:
            StorageFullError, UnavailableError: nothing was changed.
        """
        unwanted = tuple(digests)
        await self._in_thread(lambda: self._forget_releases(unwanted))

    async def collect(self, keep: Iterable[str]) -> tuple[str, ...]:
        """Drop every file whose digest is not in ``keep``; returns the digests dropped."""
        kept = frozenset(keep)
        return await self._in_thread(lambda: self._collect(kept))

    async def size_bytes(self) -> int:
        """What the files take."""
        return sum(self._sizes.values())

    def close(self) -> None:
        """Finish what runs, then give the files back."""
        self._thread.shutdown(wait=True)
        self._ledger.close()

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _put(self, digest: str, content: bytes) -> None:
        require_content(digest, content)
        path = self._files / digest
        if digest in self._sizes and _same_content(path, content):
            return
        # Sizes are replaced, never changed in place: the event loop reads them meanwhile.
        sizes = {**self._sizes, digest: len(content)}
        if sum(sizes.values()) > self._quota_bytes:
            raise quota_error(self._quota_bytes)
        try:
            write_whole_file(self._disk, path, content)
        except OSError as error:
            raise storage_error(error, path) from error
        self._sizes = sizes

    def _get(self, digest: str) -> bytes:
        if digest not in self._sizes:
            raise NotFoundError(
                f"There is no file {digest[:12]} on the shelf.",
                hint="It is fetched when a deployment needs it.",
            )
        path = self._files / digest
        try:
            with open_plain_file(path) as file:
                content = file.read()
            require_content(digest, content)
        except FileNotFoundError as error:
            self._drop(digest)
            raise NotFoundError(
                f"The file {digest[:12]} has vanished from the shelf.",
                hint="It is fetched again when needed.",
            ) from error
        except (OSError, DamagedError) as error:
            if isinstance(error, OSError) and error.errno in SHORT_ERRNOS:
                raise storage_error(error, path) from error
            self._set_aside(path)
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(
                f"The file {digest[:12]} cannot be read ({error.strerror}).",
                hint="It is fetched again; see 'dmesg'.",
            ) from error
        return content

    def _get_part(self, digest: str, offset: int, size_bytes: int) -> bytes:
        if digest not in self._sizes:
            raise NotFoundError(f"There is no file {digest[:12]} on the shelf.")
        try:
            with open_plain_file(self._files / digest) as file:
                file.seek(offset)
                return file.read(size_bytes)
        except OSError as error:
            raise DamagedError(f"The file {digest[:12]} cannot be read ({error.strerror}).") from error

    def _set_aside(self, path: Path) -> None:
        self._drop(path.name)
        try:
            self._disk.rename(path, path.with_name(path.name + ".damaged"))
            damaged = sorted(self._files.glob("*.damaged"), key=lambda file: file.stat().st_mtime)
            for file in damaged[:-MAX_DAMAGED_FILES]:
                self._disk.remove(file)
            self._disk.sync_folder(self._files)
        except OSError as error:
            _log.warning("A damaged file could not be set aside: %s", error)

    def _record(self, releases: tuple[Release, ...]) -> None:
        last_number = self._ledger.tops.get(_TABLE, 0)
        changed = changed_entries(self._entries, last_number, releases, limit=self._max_releases)
        changes = [
            Change("del", _TABLE, number)
            if release is None
            else Change("put", _TABLE, number, encode_document(encode_release(release)))
            for number, release in changed.items()
        ]
        self._ledger.apply(changes)
        # Replaced, never changed in place: the event loop reads it meanwhile.
        entries = self._entries | changed
        self._entries = {number: release for number, release in entries.items() if release is not None}

    def _forget_releases(self, digests: tuple[str, ...]) -> None:
        numbers = forgotten_entries(self._entries, digests)
        self._ledger.apply([Change("del", _TABLE, number) for number in numbers])
        self._entries = {n: release for n, release in self._entries.items() if n not in numbers}

    def _collect(self, keep: frozenset[str]) -> tuple[str, ...]:
        dropped = tuple(sorted(self._sizes.keys() - keep))
        try:
            for digest in dropped:
                self._disk.remove(self._files / digest)
                self._drop(digest)
            if dropped:
                self._disk.sync_folder(self._files)
        except OSError as error:
            raise storage_error(error, self._files) from error
        return dropped

    def _drop(self, digest: str) -> None:
        self._sizes = {name: size for name, size in self._sizes.items() if name != digest}

    def _read_sizes(self) -> dict[str, int]:
        """What is on the shelf; what a crash left unfinished is removed."""
        sizes: dict[str, int] = {}
        if self._disk.reads_only and not os.access(self._files, os.R_OK | os.X_OK):
            return sizes  # not made yet, or out of reach
        for path in self._files.iterdir():
            if path.suffix == ".tmp":
                remove_quietly(self._disk, path)
            elif is_digest(path.name):
                sizes[path.name] = path.stat().st_size
        return sizes

    def _read_entries(self) -> dict[int, Release]:
        documents = self._ledger.documents.get(_TABLE, {})
        return {number: decode_release(raw) for number, raw in documents.items()}


def _same_content(path: Path, content: bytes) -> bool:
    """Whether the file is there and undamaged."""
    try:
        with open_plain_file(path) as file:
            return os.fstat(file.fileno()).st_size == len(content) and file.read() == content
    except OSError:
        return False


def quota_error(quota_bytes: int) -> StorageFullError:
    """The shelf has its fill."""
    return StorageFullError(
        f"The shelf may take {quota_bytes} bytes and would take more; nothing was changed.",
        hint="Raise the quota, or let fewer past releases be kept.",
    )


@asynccontextmanager
async def open_shelf(
    folder: Path,
    *,
    disk: Disk | None = None,
    quota_bytes: int = DEFAULT_QUOTA_BYTES,
    max_releases: int = MAX_RELEASES,
) -> AsyncIterator[FolderShelf]:
    """The shelf in this folder, which belongs to one host at a time.

    Raises:
        UnavailableError: another host uses the folder, or the disk does not let it be read.
        DamagedError: a later version of edgehost wrote it. (Damaged lines do not stop the shelf: see ``damage``.)
    """

    def read() -> FolderShelf:
        return FolderShelf(folder, disk=disk, quota_bytes=quota_bytes, max_releases=max_releases)

    shelf = await opened_in_thread(read, FolderShelf.close)
    log_damages(_log, "Ledger of releases", shelf.damage)
    try:
        yield shelf
    finally:
        await asyncio.to_thread(shelf.close)
