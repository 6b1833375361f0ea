"""What a server of repositories reads from, whatever it serves by: a folder, any source, or a host's own shelf.

Everything here is read-only and public: metadata and chunks are signed, so whoever asks checks them. A server
names a repository by the remote's name and asks for its paths (see remotes.transport); only what
``require_path`` allows ever reaches a disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from remotes.folder_transport import open_folder_transport
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, Source, require_path


class ServedRepository(Protocol):
    """One repository, as its servers see it."""

    async def read(self, path: str, most_bytes: int) -> bytes | None:
        """The file, or None when there is none; what it holds is for the reader to check.

        Raises:
            ValueError: it is no path of a repository.
            TooLargeError: it has more than ``most_bytes``; no more than that was kept of it.
            RemoteUnreachableError: what it lies on does not answer.
        """
        ...

    def changes(self) -> AsyncIterator[None]:
        """One item after the timestamp has changed, however often it did; ends when the repository closes."""
        ...


def most_bytes_of(path: str) -> int:
    """What a file of this path may have at most, whoever serves it.

    Raises:
        ValueError: it is no path of a repository.
    """
    return CHUNK_BYTES if require_path(path).startswith("chunk/") else METADATA_MOST_BYTES


class ServedSource:
    """Any source is a repository that can be served on: a folder, or a remote whose mirror this is."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def read(self, path: str, most_bytes: int) -> bytes | None:
        """See ServedRepository."""
        return await self._source.fetch(path, most_bytes=most_bytes)

    def changes(self) -> AsyncIterator[None]:
        """See ServedRepository."""
        return self._source.changes()


@asynccontextmanager
async def open_served_folder(folder: Path, *, poll_s: float = 1.0) -> AsyncIterator[ServedSource]:
    """The folder that a publisher writes to, or a mirror of it; looked at every ``poll_s`` seconds."""
    async with open_folder_transport(folder, poll_s=poll_s) as source:
        yield ServedSource(source)
