"""Bundles in folders that come and go: a USB stick under its mount point, or the host's own inbox.

Metadata is read from one bundle, the chosen one or else the newest by its own word; chunks from any, since they are
named by their digest. What a bundle says of itself is believed by nobody: see remotes.stick_remote.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError
from remotes.bundle_file import SUFFIX, BundleFile, CutBundleError, Mark, mark_of, read_bundle
from remotes.polled_source import Pause, PolledSource, watched
from remotes.transport import TIMESTAMP, require_path
from remotes.unchecked_version import version_of

#: Newest first; a stick with more is not a stick of bundles.
MOST_BUNDLES: Final = 16
#: Names looked at each time, nearest first: some 3 ms of a Pi.
_MOST_NAMES: Final = 2000
#: A mount point, and what the desktop puts between.
_DEPTH: Final = 2
_TIMESTAMP_MOST_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is there: its index, or why it has none."""

    path: Path
    mark: Mark
    file: BundleFile | None = None
    problem: EdgehostError | None = None
    claimed: int = 0  # the version of its timestamp by its own word; 0: none can be read


class StickTransport(PolledSource):
    """See Source. Open it with open_stick_transport."""

    def __init__(
        self, folders: Sequence[Path], *, after_look: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        super().__init__()
        self._folders = tuple(folders)
        self._after_look = after_look
        self._bundles: tuple[Bundle, ...] = ()
        self._chosen: Bundle | None = None
        self._cut: frozenset[tuple[Path, Mark]] = frozenset()  # at the last look of the watcher
        self._settled: frozenset[tuple[Path, Mark]] = frozenset()

    @property
    def address(self) -> str:
        """The folders that are looked at."""
        return ", ".join(str(folder) for folder in self._folders)

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """Those that were there at the last look, the newest by their own word first."""
        return self._bundles

    def choose(self, bundle: Bundle | None) -> None:
        """From now on metadata is this bundle's; None: that of the newest by its own word."""
        self._chosen = bundle

    async def rescan(self) -> tuple[Bundle, ...]:
        """Look again; bundles that are as they were are not read again."""
        known = {(bundle.path, bundle.mark): bundle for bundle in self._bundles}
        self._bundles = await asyncio.to_thread(_scanned, self._folders, known)
        self.note_first(self._seen_now())
        return self._bundles

    def _is_outdated(self) -> bool:
        """Whether a bundle is not what it was; a look for others costs more."""
        return not self._bundles or any(mark_of(each.path) != each.mark for each in self._bundles)

    def is_growing(self, bundle: Bundle) -> bool:
        """Whether it may still be on its way to the stick: it is cut, and was not so long ago another."""
        return is_cut(bundle) and (bundle.path, bundle.mark) not in self._settled

    def carries(self, chunks: Iterable[str]) -> bool:
        """Whether every one of these chunks is in a bundle that is there."""
        here = [bundle.file.members for bundle in self._bundles if bundle.file is not None]
        return all(any(f"chunk/{chunk}" in members for members in here) for chunk in chunks)

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Source."""
        require_path(path)
        if (self._chosen is None and path == TIMESTAMP) or await asyncio.to_thread(self._is_outdated):
            await self.rescan()
        lying: bytes | None = None  # another bundle may have the right bytes
        for bundle in self._carriers(path):
            content = await asyncio.to_thread(bundle.read, path, most_bytes)
            if content is not None and _is_genuine(path, content):
                return content
            lying = lying or content
        return lying  # whoever asked will say what it is

    def _carriers(self, path: str) -> Iterator[BundleFile]:
        if path.startswith("chunk/"):
            yield from (bundle.file for bundle in self._bundles if bundle.file is not None)
            return
        chosen = self._chosen
        candidates = (each for each in self._bundles if chosen is None or each.path == chosen.path)
        bundle = next((each for each in candidates if each.file is not None), None)
        if bundle is not None and bundle.file is not None:
            yield bundle.file
        elif chosen is not None:
            raise RemoteUnreachableError(f"{chosen.path} is gone.", hint="Was the stick pulled?")

    async def look(self) -> object:
        """See PolledSource; a bundle that is cut is news again when it has stopped growing."""
        cut = frozenset((bundle.path, bundle.mark) for bundle in await self.rescan() if is_cut(bundle))
        self._settled, self._cut = cut & self._cut, cut
        if self._after_look is not None:
            await self._after_look()
        return self._seen_now()

    def _seen_now(self) -> object:
        """What another bundle, or one bundle more or less, changes."""
        return frozenset((bundle.path, bundle.mark) for bundle in self._bundles), self._settled


def _is_genuine(path: str, content: bytes) -> bool:
    kind, _, name = path.partition("/")
    return kind != "chunk" or hashlib.sha256(content).hexdigest() == name


def _scanned(folders: Sequence[Path], known: dict[tuple[Path, Mark], Bundle]) -> tuple[Bundle, ...]:
    found = sorted(_found(folders), key=lambda each: each[1][3], reverse=True)[:MOST_BUNDLES]
    bundles = [known.get((path, mark)) or _opened(path, mark) for path, mark in found]
    return tuple(sorted(bundles, key=lambda bundle: bundle.claimed, reverse=True))


def _found(folders: Sequence[Path]) -> Iterator[tuple[Path, Mark]]:
    """Bundles by their names; links are left out, since a stick has no business elsewhere on this machine."""
    left = _MOST_NAMES
    places = [(folder, 0) for folder in folders]
    for folder, depth in places:  # which grows while it is walked: what is nearest comes first
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return
                # What cannot be shown cannot be told of either.
                if entry.name.startswith(".") or not entry.name.isprintable():
                    continue
                with suppress(OSError):
                    if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                        if (mark := mark_of(Path(entry.path))) is not None:
                            yield Path(entry.path), mark
                    elif depth < _DEPTH and entry.is_dir(follow_symlinks=False):
                        places.append((Path(entry.path), depth + 1))


def _opened(path: Path, mark: Mark) -> Bundle:
    try:
        file = read_bundle(path)
        return Bundle(path, file.mark, file, claimed=claimed_version(file))
    except EdgehostError as problem:
        return Bundle(path, mark, problem=problem)


def claimed_version(file: BundleFile) -> int:
    """The version of the bundle's timestamp by its own word; 0 for none."""
    try:
        return version_of(file.read(TIMESTAMP, _TIMESTAMP_MOST_BYTES))
    except EdgehostError:
        return 0


def is_cut(bundle: Bundle) -> bool:
    """Whether its end is missing."""
    return isinstance(bundle.problem, CutBundleError)


@asynccontextmanager
async def open_stick_transport(
    folders: Sequence[Path],
    *,
    look_s: float = 1.0,
    pause: Pause | None = None,
    after_look: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[StickTransport]:
    """The bundles in these folders and two levels below, looked for every ``look_s`` seconds, or after each ``pause``."""
    transport = StickTransport(folders, after_look=after_look)
    async with watched(transport, look_s=look_s, pause=pause, name="edgehost.remote.stick"):
        yield transport
