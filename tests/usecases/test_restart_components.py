from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import (
    DeadlineExceededError,
    EdgehostError,
    GuestTrapError,
    IncompatibleReleaseError,
    InvalidComponentError,
    StorageFullError,
    UnavailableError,
)
from edgehost.domain.release_life import Release, Stage
from edgehost.usecases.direct_traffic import TrafficDirector
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.release_ledger import ReleaseLedger
from tests.usecases.deploy_scene import Scene
from tests.usecases.test_follow_remote import Followed


class Once(dict[str, EdgehostError]):
    """Errors that happen one time."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.pop(key, default)


class Restarted(Followed):
    """A host that starts with what another left on the shelf."""

    def __init__(self, before: Scene) -> None:
        super().__init__()
        self.follow._shelf = self.shelf = before.shelf
        self.follow._ledger = self.ledger = ReleaseLedger(self.shelf, self.bus, self.clock)
        self.deployer = replace(self.deployer, shelf=self.shelf, ledger=self.ledger)
        if isinstance(before, Followed):
            self.remote.offers, self.remote.files = before.remote.offers, before.remote.files
        self.changes = asyncio.Event()

    @asynccontextmanager
    async def started(self) -> AsyncIterator[ComponentManager]:
        await self.ledger.load()
        async with asyncio.TaskGroup() as tasks:
            owned: list[asyncio.Task[None]] = []

            def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
                owned.append(tasks.create_task(work, name=name))

            manager = ComponentManager(
                self.deployer,
                TrafficDirector(self.deployer, self.bus, spawn),
                self.bus,
                spawn,
                changed=self.changes.set,
                backoff=Backoff(0, 0),
            )
            self.follow._deploy = lambda release: deployed(manager, release)
            await manager.start_live()
            yield manager
            for task in owned:
                task.cancel()

    async def until_runs(self, component: str) -> None:
        async with asyncio.timeout(30):
            while self.running.get(component) is None:
                self.changes.clear()
                await self.changes.wait()


async def deployed(manager: ComponentManager, release: Release) -> None:
    await manager.deploy(release)


async def host_with_two() -> Followed:
    scene = Followed()
    scene.remote.offer("orders", "1.0.0", 1)
    await scene.follow.catch_up()
    scene.clock.pass_by(10)
    scene.remote.offer("orders", "1.1.0", 2)
    await scene.follow.catch_up()
    return scene


def lose(scene: Scene, version: str) -> None:
    assert isinstance(scene.shelf, MemoryShelf)
    del scene.shelf._files[scene.ledger.named("orders", version).digest]


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("No process can be started."),
        StorageFullError("The disk is full."),
        IncompatibleReleaseError("This host gives less memory."),
    ],
)
async def test_what_is_not_its_fault_leaves_a_release_live_and_it_runs_as_soon_as_it_can(
    error: EdgehostError, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors["1.1.0"] = error
    with caplog.at_level(logging.WARNING):
        async with scene.started() as manager:
            assert scene.live("orders") == "1.1.0"
            assert scene.running.get("orders") is None
            for _ in range(3):
                scene.changes.clear()
                await scene.changes.wait()
            scene.start_errors.clear()
            await scene.until_runs("orders")
            assert not manager.restarts.down
    (line,) = caplog.records
    assert error.message in line.getMessage()
    assert line.exc_info is None


async def test_a_lost_file_is_stood_in_for_and_fetched_again_from_the_remote() -> None:
    before = await host_with_two()
    lose(before, "1.1.0")
    scene = Restarted(before)
    async with scene.started():
        assert scene.live("orders") == "1.0.0"
        assert scene.ledger.named("orders", "1.1.0").stage is Stage.SHELVED
        await scene.follow.catch_up()
        assert scene.live("orders") == "1.1.0"
        assert await scene.running.call("orders", "any", b"") == b"1.1.0"


async def test_a_lost_file_without_an_earlier_release_comes_back_even_when_an_operator_had_chosen_it() -> (
    None
):
    before = Followed()
    before.remote.offer("orders", "1.0.0", 1)
    await before.follow.catch_up()
    await before.ledger.pin(before.ledger.named("orders", "1.0.0"), pinned=True)
    before.remote.offer("orders", "1.1.0", 2)
    lose(before, "1.0.0")
    scene = Restarted(before)
    async with scene.started():
        assert scene.live("orders") == ""
        await scene.follow.catch_up()
        assert scene.live("orders") == "1.0.0"
        assert scene.ledger.named("orders", "1.0.0").pinned


@pytest.mark.parametrize("error", [GuestTrapError("unreachable"), DeadlineExceededError("It is slow.")])
async def test_one_fault_at_a_slow_boot_says_nothing(error: EdgehostError) -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors = Once({"1.1.0": error})
    async with scene.started():
        await scene.until_runs("orders")
        assert scene.live("orders") == "1.1.0"


@pytest.mark.parametrize("error", [GuestTrapError("unreachable"), DeadlineExceededError("It is slow.")])
async def test_the_second_fault_of_the_guest_in_a_row_condemns_it(error: EdgehostError) -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors["1.1.0"] = error
    async with scene.started():
        await scene.until_runs("orders")
        assert scene.live("orders") == "1.0.0"
        assert scene.ledger.named("orders", "1.1.0").stage is Stage.QUARANTINED


async def test_a_release_that_is_wrong_in_itself_is_rolled_back_at_once() -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors["1.1.0"] = InvalidComponentError("An export is missing.")
    async with scene.started():
        assert scene.live("orders") == "1.0.0"
        assert scene.ledger.named("orders", "1.1.0").stage is Stage.QUARANTINED


async def test_an_operator_starts_what_is_live_but_does_not_run() -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors["1.1.0"] = UnavailableError("No process can be started.")
    async with scene.started() as manager:
        scene.start_errors.clear()
        await manager.deploy(scene.ledger.named("orders", "1.1.0"))
        assert await scene.running.call("orders", "any", b"") == b"1.1.0"


async def test_what_takes_the_place_of_a_release_that_does_not_run_leaves_nothing_draining() -> None:
    scene = Restarted(await host_with_two())
    scene.start_errors["1.1.0"] = UnavailableError("No process can be started.")
    async with scene.started():
        scene.remote.offer("orders", "1.2.0", 3)
        await scene.follow.catch_up()
        assert scene.live("orders") == "1.2.0"
        assert scene.ledger.named("orders", "1.1.0").stage is Stage.RETIRED


async def test_a_probation_from_a_clock_that_was_ahead_lasts_no_longer_than_the_rule() -> None:
    before = Followed()
    before.clock.pass_by(10**8)
    before.remote.offer("orders", "1.0.0", 1)
    await before.follow.catch_up()
    scene = Restarted(before)
    async with scene.started():
        running = scene.running.require("orders")
        assert running.release.probation_until == scene.clock.now() + scene.deployer.probation.seconds
