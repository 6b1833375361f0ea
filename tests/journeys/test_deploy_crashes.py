"""A power cut at every step of a deployment and of a rollback: afterwards it is the old release or the new one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.folder_shelf import open_shelf
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import Share
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.usecases.collect_shelf import collect_shelf
from edgehost.usecases.direct_traffic import Ground, TrafficDirector
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.roll_back_release import roll_back
from tests.usecases.deploy_scene import Scene

Deed = Callable[[Scene, Release, Release], Awaitable[None]]


class PowerCut(BaseException):
    """Nothing after this happens."""


class FragileShelf:
    """The real shelf, with a power cut before or after one of the calls to it."""

    def __init__(self, shelf: ReleaseShelf) -> None:
        self.shelf = shelf
        self.steps = 0
        self.cut_at = -1

    async def _step(self, work: Callable[[], Awaitable[object]]) -> None:
        self._pass()
        await work()
        self._pass()

    def _pass(self) -> None:
        self.steps += 1
        if self.steps == self.cut_at:
            raise PowerCut

    async def put(self, digest: str, content: bytes) -> None:
        await self._step(lambda: self.shelf.put(digest, content))

    async def get(self, digest: str) -> bytes:
        return await self.shelf.get(digest)

    async def has(self, digest: str) -> bool:
        return await self.shelf.has(digest)

    async def releases(self) -> tuple[Release, ...]:
        return await self.shelf.releases()

    async def record(self, *releases: Release) -> None:
        await self._step(lambda: self.shelf.record(*releases))

    async def forget(self, digests: Iterable[str]) -> None:
        await self._step(lambda: self.shelf.forget(digests))

    async def collect(self, keep: Iterable[str]) -> tuple[str, ...]:
        self._pass()
        dropped = await self.shelf.collect(keep)
        self._pass()
        return dropped

    async def size_bytes(self) -> int:
        return await self.shelf.size_bytes()


def scene_on(shelf: ReleaseShelf) -> Scene:
    return Scene(shelf)


async def deploy_the_new_one(scene: Scene, _old: Release, _new: Release) -> None:
    new = await scene.shelve("orders", "1.1.0", sequence=2)
    await scene.deployer.deploy(new)
    await retire_what_drains(scene)


async def roll_the_new_one_back(scene: Scene, _old: Release, _new: Release) -> None:
    await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    await retire_what_drains(scene)


async def retire_what_drains(scene: Scene) -> None:
    for release in scene.ledger.of("orders"):
        if release.stage is Stage.DRAINING:
            await scene.ledger.move(release, Stage.RETIRED)
    await collect_shelf(scene.shelf, scene.ledger, keep_good=1)


async def prepared(folder: Path, *, with_new: bool) -> tuple[Release, Release]:
    """A shelf whose live release is 1.0.0, or 1.1.0 after it."""
    async with open_shelf(folder) as shelf:
        scene = scene_on(shelf)
        old = await scene.shelve("orders", "1.0.0")
        await scene.deployer.deploy(old)
        new = old
        if with_new:
            new = await scene.shelve("orders", "1.1.0", sequence=2)
            await scene.deployer.deploy(new)
            await retire_what_drains(scene)
    return old, new


async def cut_in(folder: Path, deed: Deed, old: Release, new: Release, cut_at: int) -> bool:
    """Do it with a power cut at this step; False when it was done before that step."""
    async with open_shelf(folder) as shelf:
        fragile = FragileShelf(shelf)
        scene = scene_on(fragile)
        await scene.ledger.load()
        live = scene.ledger.live("orders")
        assert live is not None
        await scene.deployer.start_live(live)
        fragile.cut_at = fragile.steps + cut_at
        try:
            await deed(scene, old, new)
        except PowerCut:
            return True
    return False


async def found_after(folder: Path) -> ReleaseLedger:
    """The ledger as the next start of the host finds it, with the live release's file readable."""
    async with open_shelf(folder) as shelf:
        scene = scene_on(shelf)
        await scene.ledger.load()
        live = scene.ledger.live("orders")
        assert live is not None
        await scene.deployer.start_live(live)
        assert await scene.running.call("orders", "any", b"") == live.version.encode()
        return scene.ledger


@pytest.mark.parametrize(
    ("deed", "with_new", "ends_with"),
    [(deploy_the_new_one, False, "1.1.0"), (roll_the_new_one_back, True, "1.0.0")],
)
async def test_a_power_cut_at_any_step_leaves_the_old_release_or_the_new_one(
    tmp_path: Path, deed: Deed, with_new: bool, ends_with: str
) -> None:
    cuts = 0
    while True:
        folder = tmp_path / str(cuts)
        old, new = await prepared(folder, with_new=with_new)
        was_cut = await cut_in(folder, deed, old, new, cuts + 1)
        ledger = await found_after(folder)
        stages = [release.stage for release in ledger.of("orders")]
        assert stages.count(Stage.LIVE) == 1
        assert not {Stage.STAGED, Stage.PROBED, Stage.DRAINING} & set(stages)
        live = ledger.live("orders")
        assert live is not None
        assert live.version in {"1.0.0", "1.1.0"}
        if not was_cut:
            assert live.version == ends_with
            break
        # What was cut short can be done to its end afterwards.
        if live.version != ends_with:
            assert not await cut_in(folder, deed, old, new, 10_000)
            assert (await found_after(folder)).live("orders").version == ends_with  # type: ignore[union-attr]
        cuts += 1
    assert cuts >= 4


async def test_a_rolled_back_release_stays_quarantined_whenever_the_power_failed(tmp_path: Path) -> None:
    for cut_at in range(1, 20):
        folder = tmp_path / str(cut_at)
        old, new = await prepared(folder, with_new=True)
        if not await cut_in(folder, roll_the_new_one_back, old, new, cut_at):
            break
        ledger = await found_after(folder)
        live = ledger.live("orders")
        bad = ledger.by_digest(new.digest)
        assert live is not None
        assert bad is not None
        assert (live.version == "1.0.0") == (bad.stage is Stage.QUARANTINED)


async def give_a_share(scene: Scene, _old: Release, _new: Release) -> None:
    candidate = await scene.shelve("orders", "1.2.0", sequence=3)
    await director(scene).give(candidate, Share(0.2, sticky="id"))
    await director(scene).give(candidate, Share(0.4, sticky="id"))


async def promote_it(scene: Scene, _old: Release, _new: Release) -> None:
    await director(scene).start_again("orders")
    await director(scene).promote("orders", "1.2.0", GROUND)
    await retire_what_drains(scene)


async def stop_it(scene: Scene, _old: Release, _new: Release) -> None:
    await director(scene).start_again("orders")
    await director(scene).stop("orders", "1.2.0", GROUND)
    await collect_shelf(scene.shelf, scene.ledger, keep_good=1)


async def deploy_over_it(scene: Scene, old: Release, new: Release) -> None:
    await director(scene).start_again("orders")
    await deploy_the_new_one(scene, old, new)


GROUND = Ground("operator", "A test decided it.", {})


def director(scene: Scene) -> TrafficDirector:
    def spawn(work: Coroutine[Any, Any, None], _name: str) -> None:
        work.close()

    return TrafficDirector(scene.deployer, scene.bus, spawn)


@pytest.mark.parametrize(
    ("deed", "with_candidate", "ends_with"),
    [
        (give_a_share, False, ("1.0.0", ["1.2.0"])),
        (promote_it, True, ("1.2.0", [])),
        (stop_it, True, ("1.0.0", [])),
        (deploy_over_it, True, ("1.1.0", [])),
    ],
)
async def test_a_power_cut_at_any_step_of_a_trial_leaves_a_plan_that_can_be_carried_out(
    tmp_path: Path, deed: Deed, with_candidate: bool, ends_with: tuple[str, list[str]]
) -> None:
    cuts = 0
    while True:
        folder = tmp_path / str(cuts)
        old, new = await prepared(folder, with_new=False)
        if with_candidate:
            assert not await cut_in(folder, give_a_share, old, new, 10_000)
        was_cut = await cut_in(folder, deed, old, new, cuts + 1)
        async with open_shelf(folder) as shelf:
            scene = scene_on(shelf)
            await scene.ledger.load()
            live = scene.ledger.live("orders")
            assert live is not None
            await scene.deployer.start_live(live)
            await director(scene).start_again("orders")
            candidates = scene.ledger.candidates("orders")
            split = director(scene).split("orders")
            running = [] if split is None else [each.release.version for each in split.candidates]
            assert running == [each.version for each in candidates]
            for each in candidates:
                assert each.share is not None
                assert each.share.weight in (0.2, 0.4)
            stages = [release.stage for release in scene.ledger.of("orders")]
            assert stages.count(Stage.LIVE) == 1
            assert not {Stage.STAGED, Stage.PROBED, Stage.DRAINING} & set(stages)
            if not was_cut:
                assert (live.version, running) == ends_with
                break
        cuts += 1
    assert cuts >= 2
