"""What carries a repository: a place for small named files, trusted with nothing.

Names are ``metadata/<version>.<role>.json``, ``metadata/timestamp.json`` and ``chunk/<sha256>``. A chunk never
changes; the timestamp is written last and is the sign that there is something new. Whatever a transport
delivers is checked by others, so a mirror may be anybody's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, Protocol

#: The one file whose name has no version, and the push signal.
TIMESTAMP: Final = "metadata/timestamp.json"
#: 32 KiB: a topic or resource that small boards still buffer, and 62 messages for a component of 2 MB.
CHUNK_BYTES: Final = 32_768
#: Metadata of 1000 releases is about 400 KiB.
METADATA_MOST_BYTES: Final = 1_048_576

_PATH: Final = re.compile(r"metadata/[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.json|chunk/[0-9a-f]{64}")


class Source(Protocol):
    """What a host needs of a place that carries a repository: to read it, and to hear that it changed."""

    @property
    def address(self) -> str:
        """Where it leads, for messages to people; holds no secret."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is in touch with what carries it; True where there is nothing to be in touch with."""
        return True

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """The file, or None when there is none.

        Raises:
            TooLargeError: it has more than ``most_bytes``; no more than that was kept of it.
            RemoteUnreachableError: nobody answers.
        """
        ...

    def changes(self) -> AsyncIterator[None]:
        """One item after the timestamp has changed, however often it did; ends when the source closes."""
        ...

    def link_changes(self) -> AsyncIterator[None]:
        """One item after ``connected`` may have changed; ends when the source closes."""
        ...


class Transport(Source, Protocol):
    """A source that a publisher can write to as well."""

    async def publish(self, path: str, content: bytes) -> None:
        """Put the file there for every reader, replacing what was there at once.

        Raises:
            RemoteUnreachableError, StorageFullError.
        """
        ...

    async def remove(self, path: str) -> None:
        """Take the file away; it may be absent.

        Raises:
            RemoteUnreachableError.
        """
        ...


def require_path(path: str) -> str:
    """The path itself, if it is one of a repository's.

    Raises:
        ValueError: it could lead elsewhere.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path[:80]!r} is no path of a repository")
    return path
