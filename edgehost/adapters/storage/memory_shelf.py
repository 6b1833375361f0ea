"""A shelf that lasts as long as the process: for tests, and for hosts without a disk."""

from __future__ import annotations

from collections.abc import Iterable

from edgehost.adapters.storage.folder_shelf import DEFAULT_QUOTA_BYTES, quota_error
from edgehost.adapters.storage.release_ledger import (
    MAX_RELEASES,
    changed_entries,
    forgotten_entries,
    require_content,
    require_digest,
)
from edgehost.domain.errors import NotFoundError
from edgehost.domain.release_life import Release


class MemoryShelf:
    """A ReleaseShelf without a disk."""

    def __init__(self, *, quota_bytes: int = DEFAULT_QUOTA_BYTES, max_releases: int = MAX_RELEASES) -> None:
        self._files: dict[str, bytes] = {}
        self._entries: dict[int, Release] = {}
        self._last_number = 0
        self._quota_bytes = quota_bytes
        self._max_releases = max_releases

    async def put(self, digest: str, content: bytes) -> None:
        """Keep the file.

        Raises:
            DamagedError: the content has another sha256.
            StorageFullError: the quota is used up; nothing was changed.
        """
        require_content(require_digest(digest), content)
        if digest in self._files:
            return
        if await self.size_bytes() + len(content) > self._quota_bytes:
            raise quota_error(self._quota_bytes)
        self._files[digest] = bytes(content)

    async def get(self, digest: str) -> bytes:
        """The file.

        Raises:
            NotFoundError: it is not on the shelf.
        """
        try:
            return self._files[digest]
        except KeyError:
            raise NotFoundError(f"There is no file {digest[:12]} on the shelf.") from None

    async def has(self, digest: str) -> bool:
        """Whether the file is on the shelf."""
        return digest in self._files

    async def releases(self) -> tuple[Release, ...]:
        """The ledger, oldest first."""
        return tuple(self._entries.values())

    async def record(self, *releases: Release) -> None:
        """Note these releases' new state."""
        changed = changed_entries(self._entries, self._last_number, releases, limit=self._max_releases)
        for number, release in changed.items():
            self._last_number = max(self._last_number, number)
            if release is None:
                del self._entries[number]
            else:
                self._entries[number] = release

    async def forget(self, digests: Iterable[str]) -> None:
        """Drop these releases from the ledger; their files stay until they are collected."""
        for number in forgotten_entries(self._entries, digests):
            del self._entries[number]

    async def collect(self, keep: Iterable[str]) -> tuple[str, ...]:
        """Drop every file whose digest is not in ``keep``; returns the digests dropped."""
        kept = set(keep)
        dropped = tuple(sorted(set(self._files) - kept))
        for digest in dropped:
            del self._files[digest]
        return dropped

    async def size_bytes(self) -> int:
        """What the files take."""
        return sum(map(len, self._files.values()))
