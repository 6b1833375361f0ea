"""Fetches what is signed, chunk by chunk: resumes, starts from a release that is here, keeps to a pace."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from edgehost.domain.errors import (
    DamagedError,
    EdgehostError,
    NotFoundError,
    RemoteUnreachableError,
    TooLargeError,
)
from edgehost.domain.offered_release import DeltaOffer, OfferedRelease
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.transfer import Transfer
from remotes.delta import apply_delta
from remotes.pace import Pace
from remotes.partial_shelf import PartialShelf
from remotes.refusal import Attack, untrusted
from remotes.transport import CHUNK_BYTES

#: Chunks asked for at once: hides a round trip of 100 ms without holding more than 128 KiB.
STANDARD_WINDOW: Final = 4

#: (path, most bytes) -> content or None.
FetchFile = Callable[[str, int], Awaitable[bytes | None]]
#: The bytes of a release that is here, by digest; raises NotFoundError or DamagedError.
Base = Callable[[str], Awaitable[bytes]]
Progress = Callable[[int, int], None]


class ContentFetch:
    """One remote's transfers; whoever uses it sees to it that there is one at a time."""

    def __init__(
        self,
        remote: str,
        fetch_file: FetchFile,
        partial: PartialShelf,
        *,
        pace: Pace,
        window: int = STANDARD_WINDOW,
    ) -> None:
        self._remote = remote
        self._fetch_file = fetch_file
        self._partial = partial
        self._pace = pace
        self._window = window

    async def fetch(
        self, content: SignedContent, *, progress: Progress, base: Base | None, transfer: Transfer
    ) -> bytes:
        """The bytes, size and digest checked.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError, StorageFullError.
        """
        here = await asyncio.to_thread(self._partial.open, content)
        if base is not None and isinstance(content, OfferedRelease) and not here:
            made = await self._from_base(content, progress, base, transfer)
            if made is not None:
                await asyncio.to_thread(self._partial.close, content)
                return made
        return await self._whole(content, here, progress, transfer)

    async def _from_base(
        self, release: OfferedRelease, progress: Progress, base: Base, transfer: Transfer
    ) -> bytes | None:
        """The release made of one that is here; None when that cannot be, and it must come whole."""
        for delta in release.deltas:
            try:
                start = await base(delta.base)
            except (NotFoundError, DamagedError):
                continue
            here = await asyncio.to_thread(self._partial.open, delta)
            try:
                packed = await self._whole(delta, here, progress, transfer)
                made = await asyncio.to_thread(apply_delta, start, packed, size_bytes=release.size_bytes)
            except (_MissingChunkError, DamagedError):
                continue  # a mirror without it, or a publisher's mistake: the release itself is signed too
            if hashlib.sha256(made).hexdigest() == release.digest:
                transfer.base = delta.base
                progress(release.size_bytes, release.size_bytes)
                return made
        return None

    async def _whole(
        self, content: SignedContent, here: tuple[str, ...], progress: Progress, transfer: Transfer
    ) -> bytes:
        sizes = [CHUNK_BYTES] * len(content.chunks)
        sizes[-1] = content.size_bytes - CHUNK_BYTES * (len(content.chunks) - 1)
        size_of = dict(zip(content.chunks, sizes, strict=True))
        weight = Counter[str]()  # a chunk may come twice in a release, and is fetched once
        for chunk, size in zip(content.chunks, sizes, strict=True):
            weight[chunk] += size
        arrived = sum(weight[chunk] for chunk in here)
        transfer.resumed_bytes += arrived
        progress(arrived, content.size_bytes)
        missing = iter([chunk for chunk in weight if chunk not in here])

        failures: list[EdgehostError] = []

        async def work() -> None:
            nonlocal arrived
            for chunk in missing:
                try:
                    await self._pace.wait()
                    if failures:
                        return
                    await self._bring(content, chunk, size_of[chunk])
                except EdgehostError as error:
                    failures.append(error)
                if failures:
                    return  # the others keep what is on its way to them, and begin nothing new
                transfer.received_bytes += size_of[chunk]
                arrived += weight[chunk]
                progress(arrived, content.size_bytes)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._window, len(weight))):
                tasks.create_task(work(), name=f"edgehost.remote.{self._remote}.fetch")
        if failures:
            raise failures[0]
        joined = await asyncio.to_thread(self._partial.joined, content)
        await asyncio.to_thread(self._partial.close, content)
        if len(joined) != content.size_bytes or hashlib.sha256(joined).hexdigest() != content.digest:
            kind = "delta to the release" if isinstance(content, DeltaOffer) else "release"
            raise untrusted(
                Attack.TAMPERING,
                self._remote,
                f"the chunks of {content.target_path} do not make up the {kind}.",
            )
        return joined

    async def _bring(self, content: SignedContent, chunk: str, size: int) -> None:
        """Fetch one chunk and keep it, if it is what was signed."""
        path = f"chunk/{chunk}"
        try:
            found = await self._fetch_file(path, size)
        except TooLargeError as error:
            raise untrusted(Attack.ENDLESS_DATA, self._remote, error.message) from None
        if found is None:
            raise _MissingChunkError(
                f"Remote '{self._remote}' does not serve {path} of {content.target_path}.",
                hint="Mirror the repository again.",
            )
        self._pace.received(len(found))
        if hashlib.sha256(found).hexdigest() != chunk:
            raise untrusted(
                Attack.TAMPERING, self._remote, f"{path} of {content.target_path} has other bytes."
            )
        await asyncio.to_thread(self._partial.put, content, chunk, found)


class _MissingChunkError(RemoteUnreachableError):
    """The remote answers, and has no such chunk."""
