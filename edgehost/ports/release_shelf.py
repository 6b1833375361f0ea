"""Where component files and what is known of each release are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from edgehost.domain.release_life import Release


class ReleaseShelf(Protocol):
    """Files by digest, plus the ledger of releases. Both survive power loss at any instant."""

    async def put(self, digest: str, content: bytes) -> None:
        """Keep the file durably.

        Raises:
            DamagedError: the content has another sha256.
            StorageFullError: quota or disk; nothing was changed.
        """
        ...

    async def get(self, digest: str) -> bytes:
        """The file, its digest checked again.

        Raises:
            NotFoundError: it is not on the shelf.
            DamagedError: its bytes have changed; the file is set aside.
        """
        ...

    async def has(self, digest: str) -> bool:
        """Whether the file is on the shelf."""
        ...

    async def releases(self) -> tuple[Release, ...]:
        """The ledger, oldest first."""
        ...

    async def record(self, *releases: Release) -> None:
        """Write these releases' new state to the ledger, all or none, before returning."""
        ...

    async def forget(self, digests: Iterable[str]) -> None:
        """Drop these releases from the ledger; their files stay until they are collected."""
        ...

    async def collect(self, keep: Iterable[str]) -> tuple[str, ...]:
        """Drop every file whose digest is not in ``keep``; returns the digests dropped."""
        ...

    async def size_bytes(self) -> int:
        """What the files take."""
        ...
