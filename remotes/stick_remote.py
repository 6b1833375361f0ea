"""A remote that lives in bundles: of those that are there, the newest whose signatures hold is taken.

Every bundle is checked as any other source is, against the same trusted state, so that an older one is a rollback.
A bundle whose own word says that it is older than what is trusted is passed over without an outcry, unless it is from
another repository: sticks carry old bundles. No bundle at all is the normal state of such a remote, and no outage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from edgehost.domain.errors import EdgehostError, UnavailableError, UntrustedReleaseError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import SignedDocument
from edgehost.domain.transfer import Transfer
from remotes.bundle_file import BundleFile
from remotes.bundle_report import REPORT_SUFFIX, BundleReports, Outcome
from remotes.bundle_roots import has_another_root
from remotes.content_fetch import Base
from remotes.durable_file import read_bounded
from remotes.polled_source import Pause
from remotes.remote import RemoteOptions, TrustedRemote, open_trusted_remote
from remotes.stick_transport import Bundle, StickTransport, open_stick_transport
from remotes.transport import METADATA_MOST_BYTES
from remotes.unchecked_version import version_of

#: Of bundles that were applied at this host.
_MOST_REPORTS: Final = 16


class StickRemote:
    """Meets edgehost.ports.remote.Remote. Open it with open_stick_remote."""

    def __init__(
        self,
        remote: TrustedRemote,
        stick: StickTransport,
        reports: BundleReports,
        *,
        trusted: Path,
        root_file: Path,
        inbox: Path,
    ) -> None:
        self._remote, self._stick, self.reports = remote, stick, reports
        self._trusted, self._root_file = trusted, root_file
        self._inbox = inbox
        self._one_refresh = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name it has in the configuration."""
        return self._remote.name

    @property
    def connected(self) -> bool:
        """True: a stick that is not there is nothing to be told of."""
        return True

    def changes(self) -> AsyncIterator[None]:
        """One item after bundles came, went or changed."""
        return self._stick.changes()

    def link_changes(self) -> AsyncIterator[None]:
        """None ever; ends when the remote closes."""
        return self._stick.link_changes()

    def documents(self) -> tuple[SignedDocument, ...]:
        """See Remote; those that a bundle at hand carries."""
        return tuple(each for each in self._remote.documents() if self._stick.carries(each.chunks))

    async def fetch(
        self,
        content: SignedContent,
        *,
        progress: Callable[[int, int], None] | None = None,
        base: Base | None = None,  # noqa: ARG002 - a stick is faster than what a delta saves
        transfer: Transfer | None = None,
    ) -> bytes:
        """See Remote."""
        try:
            found = await self._remote.fetch(content, progress=progress, transfer=transfer)
        except EdgehostError as error:
            self.reports.note_release(content.target_path, "not taken", error.message)
            raise
        self.reports.note_release(content.target_path, "fetched")
        return found

    async def refresh(self) -> tuple[OfferedRelease, ...]:
        """Check the bundles, the newest by its own word first, until one holds.

        Components of which no bundle at hand carries a release are left out.

        Raises:
            UntrustedReleaseError: none holds; the reports say why of each.
            RemoteUnreachableError: the stick was pulled.
            InvalidConfigError, StorageFullError: as any remote.
        """
        async with self._one_refresh:
            bundles = await self._stick.rescan()
            self.reports.forget_absent(bundles)
            try:
                return await self._checked(bundles)
            finally:
                self._stick.choose(None)
                await self.reports.flush()

    async def _checked(self, bundles: Sequence[Bundle]) -> tuple[OfferedRelease, ...]:
        known = await asyncio.to_thread(_trusted_version, self._trusted)
        refused: list[tuple[Bundle, EdgehostError]] = []
        taken: Bundle | None = None
        offers: tuple[OfferedRelease, ...] = ()
        for bundle in bundles:
            if bundle.file is None:
                self._note_unreadable(bundle)
            elif bundle.claimed < known and await self._is_stranger(bundle.file):
                stranger = UntrustedReleaseError(
                    f"It is not older, but from another repository that is called {self.name} as well: "
                    "its root is not the one that this host trusts.",
                    hint="Take a bundle of this host's own repository; another one needs a remote of its own name.",
                )
                self.reports.note(bundle, Outcome.REFUSED, stranger)
                refused.append((bundle, stranger))
            elif taken is not None or bundle.claimed < known:
                newer = f"version {known}" if taken is None else taken.path.name
                self.reports.note(
                    bundle, Outcome.OLDER, reason=f"This host has a newer state already: {newer}."
                )
            else:
                self._stick.choose(bundle)
                try:
                    offers = await self._remote.refresh()
                except EdgehostError as error:
                    gone = isinstance(error, UnavailableError)
                    self.reports.note(bundle, Outcome.UNREADABLE if gone else Outcome.REFUSED, error)
                    refused.append((bundle, error))
                else:
                    taken = bundle
                    self.reports.note(bundle, Outcome.TAKEN)
        keep = taken or (refused[0][0] if refused else None)
        await asyncio.to_thread(self._tidy_inbox, keep, bundles)
        if taken is not None:
            offers = self._carried(offers)
            await self.reports.offer(taken, [*offers, *self.documents()])
            return offers
        if refused:
            raise refused[0][1]
        return ()

    async def _is_stranger(self, file: BundleFile) -> bool:
        def look() -> bool:
            roots = (self._root_file, self._trusted / "root.json")
            return has_another_root(file, [read_bounded(each, METADATA_MOST_BYTES) for each in roots])

        return await asyncio.to_thread(look)

    def _note_unreadable(self, bundle: Bundle) -> None:
        if not self._stick.is_growing(bundle):
            self.reports.note(bundle, Outcome.UNREADABLE, bundle.problem)

    def _carried(self, offers: Iterable[OfferedRelease]) -> tuple[OfferedRelease, ...]:
        """Whole components only: without its newest release, an older one would look like the best there is."""
        offers = tuple(offers)
        here = {offer.component for offer in offers if self._stick.carries(offer.chunks)}
        return tuple(offer for offer in offers if offer.component in here)

    def _tidy_inbox(self, keep: Bundle | None, bundles: Iterable[Bundle]) -> None:
        """Of the host's own copies only the one in use stays; sticks are their owners'."""
        for bundle in bundles:
            if bundle.path.parent == self._inbox and bundle != keep and not self._stick.is_growing(bundle):
                with suppress(OSError):
                    bundle.path.unlink()
        with suppress(OSError):  # who applies a bundle may be at work in there
            reports = sorted(self._inbox.glob(f"*{REPORT_SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
            for file in reports[:-_MOST_REPORTS]:
                file.unlink()


def _trusted_version(trusted: Path) -> int:
    return version_of(read_bounded(trusted / "timestamp.json", METADATA_MOST_BYTES))


@asynccontextmanager
async def open_stick_remote(
    name: str,
    folder: Path,
    *,
    state: Path,
    root_file: Path,
    host: str,
    now: Callable[[], float],
    options: RemoteOptions | None = None,
    look_s: float = 1.0,
    pause: Pause | None = None,
) -> AsyncIterator[StickRemote]:
    """The remote ``name`` in the bundles under ``folder`` and in ``state/inbox``.

    ``state`` belongs to this remote alone, as for open_trusted_remote. ``reports.tell`` of what is opened may be set.
    """
    inbox = inbox_of(state)
    reports = BundleReports(remote=name, host=host, now=now)
    async with (
        open_stick_transport((folder, inbox), look_s=look_s, pause=pause, after_look=reports.flush) as stick,
        open_trusted_remote(
            name, stick, folder=state, root_file=root_file, now=now, options=options
        ) as remote,
    ):
        yield StickRemote(remote, stick, reports, trusted=state / "trusted", root_file=root_file, inbox=inbox)


def inbox_of(state: Path) -> Path:
    """Where 'edgehost bundle apply' puts bundles for the remote with this state folder."""
    return state / "inbox"
