"""A remote that is trusted with nothing: it meets the host's Remote port over any transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.domain.errors import (
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import SignedDocument
from edgehost.domain.transfer import Transfer
from remotes.clock_floor import from_seconds, raise_floor
from remotes.content_fetch import STANDARD_WINDOW, Base, ContentFetch
from remotes.mirrored_source import MirroredSource
from remotes.pace import Pace
from remotes.partial_shelf import PartialShelf
from remotes.refusal import Attack, untrusted
from remotes.signed_target import TARGET_MOST_BYTES
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP, Source
from remotes.trust_child import TrustChild, TrustedState

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Limits of one remote."""

    trust_idle_s: float = (
        10.0  # the trust process is kept so long after a check; a cold one costs about 0.2 s
    )
    check_timeout_s: float = 60.0
    component_most_bytes: int = TARGET_MOST_BYTES
    partial_most_bytes: int = 2 * TARGET_MOST_BYTES
    bytes_per_s: float = 0.0  # of content; 0: as fast as it comes
    window: int = STANDARD_WINDOW  # chunks asked for at once
    require_room: Callable[[int, int], None] = lambda _bytes, _inodes: None  # raises StorageFullError


class TrustedRemote:
    """Meets edgehost.ports.remote.Remote. Open it with open_trusted_remote."""

    def __init__(
        self,
        name: str,
        transport: Source,
        *,
        folder: Path,
        root_file: Path,
        now: Callable[[], float],
        options: RemoteOptions,
    ) -> None:
        self._name = name
        self._transport = transport
        self._folder = folder
        self._root_file = root_file
        self._now = now
        self._options = options
        self._child = TrustChild(idle_s=options.trust_idle_s, check_timeout_s=options.check_timeout_s)
        self._content = ContentFetch(
            name,
            self._fetch_file,
            PartialShelf(folder / "partial", most_bytes=options.partial_most_bytes),
            pace=Pace(options.bytes_per_s),
            window=options.window,
        )
        self._state: TrustedState | None = None
        self._one_check = asyncio.Lock()
        self._one_fetch = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name it has in the configuration."""
        return self._name

    @property
    def trust_process_id(self) -> int | None:
        """The trust process, while it lives."""
        return self._child.pid

    def changes(self) -> AsyncIterator[None]:
        """One item whenever the remote says that it has something new; ends when the remote closes."""
        return self._transport.changes()

    @property
    def connected(self) -> bool:
        """Whether its transport is in touch with what carries it."""
        return self._transport.connected

    def link_changes(self) -> AsyncIterator[None]:
        """One item after ``connected`` may have changed; ends when the remote closes."""
        return self._transport.link_changes()

    async def refresh(self) -> tuple[OfferedRelease, ...]:
        """Check the remote's metadata and name what it offers, oldest first in each component.

        Raises:
            UntrustedReleaseError: the metadata does not hold; the message says which attack it looks like.
            RemoteUnreachableError: the transport does not answer.
            InvalidConfigError: the configured root cannot be used.
            StorageFullError: what was checked cannot be kept.
        """
        async with self._one_check:
            return await self._checked_anywhere()

    async def _checked_anywhere(self) -> tuple[OfferedRelease, ...]:
        """Checked in each place that serves the repository, until one's metadata holds."""
        if not isinstance(self._transport, MirroredSource):
            return await self._checked()
        failure: UntrustedReleaseError | None = None
        await self._transport.follow_news()
        for _ in self._transport.places:
            try:
                return await self._checked()
            except UntrustedReleaseError as error:
                failure = failure or error
                self._transport.lead_on()
        raise failure or RemoteUnreachableError(f"Remote '{self._name}' has no place.")

    async def _checked(self) -> tuple[OfferedRelease, ...]:
        state = self._state
        began = self._now()
        if state is not None and await self._is_unchanged(state, began):
            # No check, no trust process; but a host that follows a quiet remote for a year must not
            # have a clock floor of a year ago when its clock is lost. It is the time that was judged by: a clock
            # that jumps ahead meanwhile would lock this host out for ever.
            await asyncio.to_thread(raise_floor, self._folder / "trusted", began)
            return state.offers
        await self._require_repository(state)
        self._state = await self._child.check(
            remote=self._name,
            folder=self._folder / "trusted",
            root_file=self._root_file,
            now=self._now(),
            fetch=self._fetch_file,
        )
        if self._state.expired and (state is None or state.expired != self._state.expired):
            _LOG.warning(
                "Remote '%s': what %s signed has expired and is not on offer; it must publish again.",
                self._name,
                ", ".join(f"role '{role}'" for role in self._state.expired),
            )
        if self._state.damaged:
            _LOG.warning(
                "Remote '%s': trusted state was damaged (%s); begun again from %s.",
                self._name,
                ", ".join(self._state.damaged),
                self._root_file,
            )
        return self._state.offers

    def documents(self) -> tuple[SignedDocument, ...]:
        """The documents that the last refresh found, oldest first in each name; none before the first."""
        return () if self._state is None else self._state.documents

    async def fetch(
        self,
        content: SignedContent,
        *,
        progress: Callable[[int, int], None] | None = None,
        base: Base | None = None,
        transfer: Transfer | None = None,
    ) -> bytes:
        """The bytes of a release or a document, size and digest checked; resumes from what an earlier try left.

        ``base`` gives the bytes of a release that is here, so that only the difference need be fetched;
        ``transfer`` notes what was received.

        Raises:
            UntrustedReleaseError: the last refresh does not offer it, or its bytes are not what was signed.
            TooLargeError: it is larger than this host takes.
            RemoteUnreachableError, StorageFullError.
        """
        if self._state is None or content not in (*self._state.offers, *self._state.documents):
            raise UntrustedReleaseError(
                f"Remote '{self._name}' does not offer {content.target_path}.",
                hint="Refresh the remote: it was withdrawn, or was never offered.",
            )
        now_s = self._now()
        if not self._holds(self._state, now_s):
            now, holds_until = from_seconds(now_s), from_seconds(self._state.expires)
            raise untrusted(
                Attack.FREEZE,
                self._name,
                f"its metadata held until {holds_until:%Y-%m-%d %H:%M} UTC, "
                f"and this machine's clock says {now:%Y-%m-%d %H:%M} UTC.",
            )
        most_bytes = self._most_bytes(content)
        if content.size_bytes > most_bytes:
            raise TooLargeError(
                f"{content.target_path} has {content.size_bytes} bytes; this host takes {most_bytes}."
            )
        async with self._one_fetch:
            # The chunks, and what is made of them while they are still there.
            self._options.require_room(2 * content.size_bytes, len(content.chunks) + 4)
            return await self._content.fetch(
                content, progress=progress or _ignore, base=base, transfer=transfer or Transfer()
            )

    async def close(self) -> None:
        """End the trust process."""
        await self._child.close()

    async def _require_repository(self, state: TrustedState | None) -> None:
        """Look before a trust process is started: a host that is offline for months starts none.

        Raises:
            RemoteUnreachableError: the transport does not answer, or nothing was published there yet.
        """
        if state is None and await asyncio.to_thread(
            self._root_file.is_file
        ):  # else the check says what to do
            try:
                found = await self._fetch_file(TIMESTAMP, METADATA_MOST_BYTES)
            except TooLargeError:
                return  # the check will say what this is
            if found is None:
                raise RemoteUnreachableError(
                    f"Remote '{self._name}' holds no repository at {self._transport.address}.",
                    hint="Publish to it, or check its name and address.",
                )

    def _most_bytes(self, content: SignedContent) -> int:
        """Components have the operator's limit, documents that of their kind, which the trust check holds."""
        is_document = isinstance(content, SignedDocument)
        return TARGET_MOST_BYTES if is_document else self._options.component_most_bytes

    def _holds(self, state: TrustedState, now_s: float) -> bool:
        return max(now_s, state.reference) < state.expires

    async def _is_unchanged(self, state: TrustedState, now_s: float) -> bool:
        """Whether the remote serves the very files that were accepted, and they still hold: no check needed."""
        if not self._holds(state, now_s):
            return False
        try:
            if await self._fetch_file(TIMESTAMP, METADATA_MOST_BYTES) != state.timestamp:
                return False
            next_root = f"metadata/{state.root_version + 1}.root.json"
            return await self._fetch_file(next_root, METADATA_MOST_BYTES) is None
        except TooLargeError:
            return False  # the check will say what this is

    async def _fetch_file(self, path: str, most_bytes: int) -> bytes | None:
        try:
            return await self._transport.fetch(path, most_bytes=most_bytes)
        except ValueError as error:
            raise RemoteUnreachableError(
                f"Remote '{self._name}' names a file that cannot be: {error}."
            ) from None


def _ignore(_done: int, _total: int) -> None:
    """Nobody wants to know the progress."""


@asynccontextmanager
async def open_trusted_remote(
    name: str,
    transport: Source,
    *,
    folder: Path,
    root_file: Path,
    now: Callable[[], float],
    options: RemoteOptions | None = None,
) -> AsyncIterator[TrustedRemote]:
    """The remote ``name`` over an open transport.

    ``folder`` holds what it trusts and what it has of unfinished transfers; it belongs to this remote alone.
    ``root_file`` is the publisher's root.json, which the operator got by a way that they trust.
    """
    remote = TrustedRemote(
        name, transport, folder=folder, root_file=root_file, now=now, options=options or RemoteOptions()
    )
    try:
        yield remote
    finally:
        await remote.close()
