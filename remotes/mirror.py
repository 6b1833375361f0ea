"""Copies a repository to where readers look for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import DamagedError, EdgehostError, RemoteUnreachableError, TooLargeError
from remotes.durable_file import read_bounded
from remotes.repository import Repository
from remotes.repository_files import needed_files, stale_files
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP, Transport

#: Files on the way at once.
_WINDOW: Final = 4
#: How often a file is looked for after it was taken, each time as long as the transport waits for what is missing.
_LOOKS: Final = 6


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a mirroring did."""

    published: int
    unchanged: int
    removed: int  # that were there
    bytes_sent: int


async def mirror_repository(
    repository: Repository,
    transport: Transport,
    *,
    fresh: frozenset[str] = frozenset(),
    before: bytes = b"",
    progress: Callable[[int, int], None] | None = None,
) -> Mirrored:
    """Bring the transport to the repository's state; readers see the old state whole, or the new one.

    ``fresh`` and ``before`` are what the change said (see Published): a mirror that serves ``before`` lacks
    ``fresh`` and perhaps a root, and nothing else. Without them every file is compared.

    Raises:
        RemoteUnreachableError: the transport does not answer, or does not serve what it took.
        DamagedError: a file of the repository is missing.
        StorageFullError.
    """
    paths = await asyncio.to_thread(needed_files, repository)
    served = await transport.fetch(TIMESTAMP, most_bytes=METADATA_MOST_BYTES)
    if before and served == before:
        # Roots do not hang on the timestamp: one may have come into force without a new state.
        paths = tuple(path for path in paths if path in fresh or path.endswith(".root.json"))
    copy = _Copy(
        repository, transport, compare=served is not None, fresh=fresh, progress=progress, total=len(paths)
    )
    await copy.all(path for path in paths if path.startswith("chunk/"))
    for path in paths:
        if not path.startswith("chunk/"):
            await copy.one(path)
    removed = 0
    for path in await asyncio.to_thread(stale_files, repository):
        if await _is_served(transport, path):
            await transport.remove(path)
            removed += 1
    return Mirrored(copy.published, copy.unchanged, removed, copy.bytes_sent)


async def _is_served(transport: Transport, path: str) -> bool:
    try:
        return await transport.fetch(path, most_bytes=METADATA_MOST_BYTES) is not None
    except TooLargeError:
        return True


class _Copy:
    """One run of copying, with its counts."""

    def __init__(
        self,
        repository: Repository,
        transport: Transport,
        *,
        compare: bool,
        fresh: frozenset[str],
        progress: Callable[[int, int], None] | None,
        total: int,
    ) -> None:
        self._repository = repository
        self._transport = transport
        self._compare = compare
        self._fresh = fresh
        self._progress = progress
        self._total = total
        self.published = self.unchanged = self.bytes_sent = 0

    async def all(self, paths: Iterable[str]) -> None:
        """Copy these, a few at once, in any order."""
        rest = iter(paths)

        async def work() -> None:
            for path in rest:
                await self.one(path)

        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(_WINDOW):
                    tasks.create_task(work(), name=f"edgehost.remote.mirror.{number}")
        except ExceptionGroup as group:
            first = group.exceptions[0]
            if isinstance(first, EdgehostError):
                raise first from None
            raise

    async def one(self, path: str) -> None:
        """Copy this one, unless it is there, and look whether it can be read back."""
        file = self._repository.folder / path
        content = await asyncio.to_thread(read_bounded, file, METADATA_MOST_BYTES)
        if content is None:
            raise DamagedError(f"{file} is missing.", hint="Restore it from another mirror.")
        if self._compare and path not in self._fresh and await self._serves(path, content):
            self.unchanged += 1
        else:
            await self._transport.publish(path, content)
            # A broker may take what it then drops: no right to publish there, or a limit on size.
            if not await self._comes_back(path, content):
                raise RemoteUnreachableError(
                    f"{self._transport.address} took {path} but does not serve it.",
                    hint="Check this user's right to publish there, and the limits on size and retained messages.",
                )
            self.published += 1
            self.bytes_sent += len(content)
        if self._progress is not None:
            self._progress(self.published + self.unchanged, self._total)

    async def _comes_back(self, path: str, content: bytes) -> bool:
        for _ in range(_LOOKS):
            if await self._serves(path, content):
                return True
        return False

    async def _serves(self, path: str, content: bytes) -> bool:
        return await self._transport.fetch(path, most_bytes=METADATA_MOST_BYTES) == content
