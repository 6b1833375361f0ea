from __future__ import annotations

import pytest

from edgehost.domain.errors import GuestFailedError, GuestTrapError
from edgehost.domain.probation import ProbationRule
from edgehost.usecases.watch_probation import ProbationWatch
from tests.usecases.deploy_scene import Scene, raising

RULE = ProbationRule(seconds=60)


class Watching(Scene):
    def __init__(self) -> None:
        super().__init__()
        self.rolled_back: list[tuple[str, str]] = []
        self.watch = ProbationWatch(self.running, self.ledger, self.clock, RULE, self._roll_back)

    async def _roll_back(self, component: str, reason: str) -> None:
        self.rolled_back.append((component, reason))
        self.running.route(component, None)

    async def call(self, times: int, error: type[Exception] | None = None) -> None:
        for _ in range(times):
            if error is None:
                await self.running.call("orders", "any", b"")
            else:
                with pytest.raises(error):
                    await self.running.call("orders", "any", b"")


async def test_a_release_that_traps_is_rolled_back_with_its_figures() -> None:
    scene = Watching()
    scene.answers["1.0.0"] = raising(GuestTrapError("unreachable"))
    await scene.deployer.deploy(await scene.shelve("orders", "1.0.0"))
    await scene.call(5, GuestTrapError)
    assert len(scene.faults) == 5
    await scene.watch.look()
    assert scene.rolled_back == [("orders", "5 of 5 calls failed in its probation.")]


async def test_a_guest_that_refuses_inputs_does_its_work() -> None:
    scene = Watching()
    scene.answers["1.0.0"] = raising(GuestFailedError("no such customer"))
    await scene.deployer.deploy(await scene.shelve("orders", "1.0.0"))
    await scene.call(50, GuestFailedError)
    await scene.watch.look()
    assert scene.rolled_back == []


async def test_a_release_that_behaved_has_proved_itself_when_its_time_is_over() -> None:
    scene = Watching()
    release = await scene.shelve("orders", "1.0.0")
    running = await scene.deployer.deploy(release)
    await scene.call(10)
    assert scene.watch.seconds_to_next_end() == pytest.approx(60)
    scene.clock.pass_by(61)
    await scene.watch.look()
    assert running.release.probation_until == 0
    assert scene.watch.seconds_to_next_end() is None
    scene.answers["1.0.0"] = raising(GuestTrapError("late"))
    scene.pools["1.0.0"].answer = raising(GuestTrapError("late"))
    await scene.call(50, GuestTrapError)
    await scene.watch.look()
    assert scene.rolled_back == []


async def test_a_wall_clock_that_jumps_back_years_does_not_make_the_watch_sleep_for_years() -> None:
    scene = Watching()
    await scene.deployer.deploy(await scene.shelve("orders", "1.0.0"))
    scene.clock.wall -= 10 * 365 * 86_400
    sleep_s = scene.watch.seconds_to_next_end()
    assert sleep_s is not None
    assert sleep_s <= RULE.seconds


async def test_a_wall_clock_that_jumps_years_ahead_does_not_end_a_probation() -> None:
    scene = Watching()
    scene.clock.wall = 0.0
    running = await scene.deployer.deploy(await scene.shelve("orders", "1.0.0"))
    await scene.watch.look()
    scene.clock.wall = 1_800_000_000.0  # the time was set from the network
    await scene.watch.look()
    assert running.release.probation_until
    scene.clock.pass_by(59)
    await scene.watch.look()
    assert running.release.probation_until
    scene.clock.pass_by(2)
    await scene.watch.look()
    assert running.release.probation_until == 0
