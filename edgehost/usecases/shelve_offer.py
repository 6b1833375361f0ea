"""Bring an offered release onto the host's shelf and into its ledger, and tell how the transfer goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.transfer import Transfer
from edgehost.domain.transfer_events import ReleaseFetched, TransferProgressed
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.ports.remote import Remote
from edgehost.usecases.release_ledger import ReleaseLedger

#: In tenths: the end has an event of its own.
_WHOLE: Final = 10


async def shelve_offer(
    offer: OfferedRelease,
    *,
    remote: Remote,
    shelf: ReleaseShelf,
    ledger: ReleaseLedger,
    bus: EventBus,
    clock: Clock,
) -> Release:
    """The offered release on this host's shelf, fetched when it is not there.

    Raises:
        UntrustedReleaseError, RemoteUnreachableError, StorageFullError.
    """
    if not await shelf.has(offer.digest):
        transfer, begun = Transfer(), clock.monotonic()
        content = await remote.fetch(
            offer, progress=_telling(offer, bus, clock), base=shelf.get, transfer=transfer
        )
        await shelf.put(offer.digest, content)
        bus.publish(
            ReleaseFetched(
                at=clock.now(),
                component=offer.component,
                version=offer.version,
                remote=offer.remote,
                size_bytes=offer.size_bytes,
                received_bytes=transfer.received_bytes,
                from_delta=transfer.base != "",
                seconds=clock.monotonic() - begun,
            )
        )
    now = clock.now()
    release = Release(
        component=offer.component,
        version=offer.version,
        digest=offer.digest,
        size_bytes=offer.size_bytes,
        sequence=offer.sequence,
        remote=offer.remote,
        abi=offer.abi,
        device_classes=offer.device_classes,
    )
    # One ledger entry, not three: a kill before it finds the file on the shelf and asks the remote again.
    for stage in (Stage.VERIFIED, Stage.SHELVED):
        release = release.moved_to(stage, at=now)
    return await ledger.add(release)


def _telling(offer: OfferedRelease, bus: EventBus, clock: Clock) -> Callable[[int, int], None]:
    """Tells of every tenth of a transfer; what fits into one chunk is told when it is there."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(1, total)
        if told < tenth < _WHOLE:
            told = tenth
            bus.publish(
                TransferProgressed(
                    at=clock.now(),
                    component=offer.component,
                    version=offer.version,
                    remote=offer.remote,
                    done_bytes=done,
                    total_bytes=total,
                )
            )

    return tell
