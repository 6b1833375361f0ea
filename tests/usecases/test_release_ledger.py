"""Changes of the ledger that come while another one is being written."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.release_life import Release, Stage
from edgehost.usecases.release_ledger import ReleaseLedger
from tests.usecases.deploy_scene import StillClock


class SlowShelf(MemoryShelf):
    """A disk that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def record(self, *releases: Release) -> None:
        await self.may_write.wait()
        await super().record(*releases)


def release(version: str, stage: Stage) -> Release:
    return Release(
        component="pump",
        version=version,
        digest=version,
        sequence=1,
        remote="test",
        size_bytes=1,
        stage=stage,
        probation_until=5.0,
    )


async def test_what_is_noted_of_a_release_while_another_takes_its_place_does_not_bring_it_back() -> None:
    shelf = SlowShelf()
    ledger = ReleaseLedger(shelf, LocalEventBus(), StillClock())
    old = await ledger.add(release("1.0.0", Stage.LIVE))
    new = await ledger.add(release("1.0.1", Stage.PROBED))
    shelf.may_write.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            ledger.go_live(new, before=old, before_goes=Stage.DRAINING, reason="", probation_until=0.0)
        )
        for note in (
            ledger.end_probation(old),
            ledger.pin(old, pinned=True),
            ledger.add(replace(old, sequence=2)),
        ):
            tasks.create_task(note)
        for _ in range(5):
            await asyncio.sleep(0)
        shelf.may_write.set()
    live = ledger.live("pump")
    assert live is not None
    assert live.version == "1.0.1"
    known = ledger.by_digest("1.0.0")
    assert known is not None
    assert (known.stage, known.pinned, known.probation_until, known.sequence) == (
        Stage.DRAINING,
        True,
        0.0,
        2,
    )
    assert {each.version: each.stage for each in await shelf.releases()} == {
        "1.0.0": Stage.DRAINING,
        "1.0.1": Stage.LIVE,
    }
