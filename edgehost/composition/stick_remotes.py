"""Remotes that live in bundles; imported by hosts that have one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from edgehost.composition.rooms import Rooms
from edgehost.config import Config
from edgehost.config_carriers import StickCarrier
from edgehost.config_tables import RemoteSettings
from edgehost.domain.bundle_events import BundleChecked
from edgehost.domain.events import Event, ReleaseMoved, ReleaseRolledBack, RemoteRefused
from edgehost.domain.release_life import Stage
from edgehost.domain.signed_content import SignedContent
from edgehost.ports.remote import Remote
from remotes.bundle_report import BundleReports, Outcome
from remotes.remote import RemoteOptions
from remotes.signed_target import target_path
from remotes.stick_remote import StickRemote, open_stick_remote
from remotes.stick_transport import Bundle

#: What a person with a stick wants to know of; the steps between are soon over.
_TOLD: frozenset[str] = frozenset({Stage.LIVE, Stage.REJECTED, Stage.QUARANTINED})


async def open_stick(
    config: Config,
    settings: RemoteSettings,
    carrier: StickCarrier,
    stack: AsyncExitStack,
    *,
    state: Path,
    now: Callable[[], float],
    options: RemoteOptions,
) -> Remote:
    """Bundles under a mount point, and those that 'edgehost bundle apply' brings."""
    return await stack.enter_async_context(
        open_stick_remote(
            settings.name,
            carrier.path,
            state=state,
            root_file=settings.root,
            host=config.host.name,
            now=now,
            options=options,
            look_s=carrier.look_s,
        )
    )


def tie_stick(rooms: Rooms, remote: Remote) -> None:
    """Tell the bus of bundles, and the bundles' reports of what becomes of their releases."""
    if not isinstance(remote, StickRemote):
        return

    def tell(bundle: Bundle, outcome: Outcome, code: str, reason: str) -> None:
        rooms.bus.publish(
            BundleChecked(
                at=rooms.clock.now(),
                remote=remote.name,
                bundle=bundle.path.name,
                outcome=str(outcome),
                version=bundle.claimed,
                code=code,
                reason=reason,
            )
        )

    async def has(content: SignedContent) -> bool:
        return await rooms.shelf.has(content.digest)

    remote.reports.tell, remote.reports.has = tell, has
    rooms.bus.attach(_ReportKeeper(remote.name, remote.reports), acting=False)


class _ReportKeeper:
    """An EventConsumer that writes down, in a few microseconds, what a stick's carrier will want to know."""

    full = overfull = False

    def __init__(self, remote: str, reports: BundleReports) -> None:
        self._remote, self._reports = remote, reports

    @property
    def name(self) -> str:
        """See EventConsumer."""
        return f"reports of {self._remote}"

    def wants(self, event: Event) -> bool:
        """See EventConsumer."""
        return isinstance(event, ReleaseMoved | ReleaseRolledBack | RemoteRefused)

    def take(self, event: Event) -> None:
        """See EventConsumer."""
        if isinstance(event, ReleaseMoved) and event.stage in _TOLD:
            self._reports.note_release(target_path(event.component, event.version), event.stage, event.reason)
        elif isinstance(event, ReleaseRolledBack):
            self._reports.note_release(
                target_path(event.component, event.version), "rolled back", event.reason
            )
        elif isinstance(event, RemoteRefused) and event.remote == self._remote:
            self._reports.note_refusal(event.reason)

    async def room(self) -> None:
        """See EventConsumer; there always is."""
