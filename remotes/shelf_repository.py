"""A remote's repository as a host has it: the metadata that it trusts, and chunks of the components on its shelf.

The trusted files have other names than a repository's, and hold one state: a file is served under its version, and
the timestamp only while all that it leads to is there. A chunk is cut from the component that it belongs to, and
checked before it is given away. A host gives what it has: releases that it never fetched have no chunks here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from edgehost.domain.errors import EdgehostError, TooLargeError
from remotes.change_signals import ChangeSignals
from remotes.durable_file import read_bounded
from remotes.owned_tasks import keep_running, owned_tasks
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, TIMESTAMP, require_path

_VERSIONED: Final = re.compile(r"metadata/([1-9][0-9]{0,15})\.([A-Za-z0-9._-]+)\.json")
#: A trusted folder holds the top roles and at most 64 delegated ones.
_MOST_ROLES: Final = 80

#: Name, time of change, inode and size of each trusted file.
Marks = tuple[tuple[str, int, int, int], ...]


class PartShelf(Protocol):
    """What is needed of the shelf: edgehost.adapters.storage.folder_shelf.FolderShelf meets it."""

    async def has(self, digest: str) -> bool:
        """Whether the component is here."""
        ...

    async def get_part(self, digest: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of the component, unchecked; fewer when it ends before.

        Raises:
            EdgehostError: it is not here, or cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Release:
    """A release that the trusted metadata names."""

    digest: str
    size_bytes: int
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chunk is."""

    digest: str
    offset: int
    size_bytes: int


@dataclass(slots=True)
class _State:
    """What the trusted files said when they were last read."""

    marks: Marks = ()
    versions: dict[str, int] = field(default_factory=dict)  # role -> version
    whole: bool = False  # all that the timestamp leads to is here
    away: set[str] = field(default_factory=set)  # releases that are not on the shelf
    chunks: dict[str, _Place] = field(default_factory=dict)  # of those that are


class ShelfRepository:
    """Meets ServedRepository. Open it with open_shelf_repository.

    ``trusted`` is the folder ``trusted`` of the remote's own folder.
    """

    def __init__(self, trusted: Path, shelf: PartShelf) -> None:
        self._trusted = trusted
        self._shelf = shelf
        self._state = _State()
        self._signals = ChangeSignals()
        self._one_look = asyncio.Lock()

    async def read(self, path: str, most_bytes: int) -> bytes | None:
        """See ServedRepository."""
        require_path(path)
        kind, _, name = path.partition("/")
        content = await (self._chunk(name) if kind == "chunk" else self._metadata(path))
        if content is not None and len(content) > most_bytes:
            raise TooLargeError(f"{path} has {len(content)} bytes instead of {most_bytes}.")
        return content

    def changes(self) -> AsyncIterator[None]:
        """See ServedRepository."""
        return self._signals.listen()

    async def watch(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Look at the trusted files after every pause."""
        seen = (await self._look()).versions.get("timestamp")
        while True:
            await pause()
            state = await self._look()
            version = state.versions.get("timestamp")
            if state.whole and version != seen:
                seen = version
                self._signals.fire()

    def close(self) -> None:
        """End the listeners."""
        self._signals.close()

    async def _metadata(self, path: str) -> bytes | None:
        if path == TIMESTAMP:
            state = await self._look()
            return await self._file("timestamp.json") if state.whole else None
        named = _VERSIONED.fullmatch(path)
        if named is None:
            return None
        version, role = int(named[1]), named[2]
        if role == "root":
            return await self._file(f"root_history/{version}.root.json")
        state = await self._look()
        return await self._file(f"{role}.json") if state.versions.get(role) == version else None

    async def _file(self, name: str) -> bytes | None:
        return await asyncio.to_thread(read_bounded, self._trusted / name, METADATA_MOST_BYTES)

    async def _chunk(self, chunk: str) -> bytes | None:
        state = await self._look()
        place = state.chunks.get(chunk)
        if place is None and [digest for digest in state.away if await self._shelf.has(digest)]:
            state = await self._look(again=True)
            place = state.chunks.get(chunk)
        if place is None:
            return None
        try:
            content = await self._shelf.get_part(place.digest, place.offset, place.size_bytes)
        except EdgehostError:
            return None  # collected meanwhile; who asked has other places to look
        # A damaged shelf is noticed by its host; its neighbours are not bothered with it.
        return content if hashlib.sha256(content).hexdigest() == chunk else None

    async def _look(self, *, again: bool = False) -> _State:
        """What is trusted now; the files are read only when they have changed."""
        async with self._one_look:
            marks = await asyncio.to_thread(_marks, self._trusted)
            if marks == self._state.marks and not again:
                return self._state
            state, releases = await asyncio.to_thread(_read_state, self._trusted, marks)
            for release in releases:
                if not await self._shelf.has(release.digest):
                    state.away.add(release.digest)
                    continue
                for index, chunk in enumerate(release.chunks):
                    offset = index * CHUNK_BYTES
                    size_bytes = min(CHUNK_BYTES, release.size_bytes - offset)
                    state.chunks[chunk] = _Place(release.digest, offset, size_bytes)
            self._state = state
            return state


def _marks(trusted: Path) -> Marks:
    """What tells one state of the files from another."""
    found: list[tuple[str, int, int, int]] = []
    for file in sorted(trusted.glob("*.json"))[:_MOST_ROLES]:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((file.name, status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(found)


def _read_state(trusted: Path, marks: Marks) -> tuple[_State, list[_Release]]:
    state = _State(marks)
    releases: list[_Release] = []
    announced: dict[str, int] = {}
    for name, *_ in marks:
        try:
            signed = json.loads(read_bounded(trusted / name, METADATA_MOST_BYTES) or b"{}")["signed"]
            state.versions[name.removesuffix(".json")] = int(signed["version"])
            announced |= {role: int(meta["version"]) for role, meta in signed.get("meta", {}).items()}
            targets = signed.get("targets", {}).values()
            releases += [_release(target) for target in targets if "chunks" in target.get("custom", {})]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            continue  # damaged: the host's next check says so and gets it again
    state.whole = "timestamp" in state.versions and all(
        role in announced and state.versions.get(role.removesuffix(".json")) == announced[role]
        for role in ("snapshot.json", "targets.json")
    )
    return state, releases


def _release(target: dict[str, Any]) -> _Release:
    return _Release(
        target["hashes"]["sha256"], int(target["length"]), tuple(map(str, target["custom"]["chunks"]))
    )


@asynccontextmanager
async def open_shelf_repository(
    trusted: Path,
    shelf: PartShelf,
    *,
    poll_s: float = 1.0,
    pause: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[ShelfRepository]:
    """What a host has of one remote, looked at every ``poll_s`` seconds, or after each ``pause``."""
    repository = ShelfRepository(trusted, shelf)

    async def sleep() -> None:
        await asyncio.sleep(poll_s)

    async with owned_tasks() as spawn:
        keep_running(spawn, partial(repository.watch, pause or sleep), "edgehost.shelf.watch")
        try:
            yield repository
        finally:
            repository.close()
