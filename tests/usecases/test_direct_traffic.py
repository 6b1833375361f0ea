"""Candidates beside the live release, on memory adapters: who is called, who is blamed, when a trial ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from edgehost.domain.errors import (
    BusyError,
    EdgehostError,
    GuestFailedError,
    GuestTrapError,
    IncompatibleReleaseError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from edgehost.domain.probation import ProbationRule
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import Share
from edgehost.domain.traffic_events import CandidateDecided, TrafficChanged
from edgehost.domain.version_comparison import ComparisonRule
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.direct_traffic import Ground, TrafficDirector
from edgehost.usecases.roll_back_release import roll_back
from edgehost.usecases.watch_traffic import TrafficWatch
from tests.usecases.deploy_scene import Scene, raising

RULE = ComparisonRule(min_calls=10, promote_after_s=60)
GROUND = Ground("operator", "A test decided it.", {})


class Trial(Scene):
    """Version 1.0.0 is live; shadows' calls are carried out when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[Coroutine[Any, Any, None]] = []
        self.director = TrafficDirector(self.deployer, self.bus, lambda work, _name: self.copies.append(work))
        self.events = self.bus.published
        self.watch = TrafficWatch(
            self.running,
            self.clock,
            probation=ProbationRule(),
            rule_of=lambda _component: RULE,
            promote=self._promote,
            stop=self._stop,
        )

    async def _promote(self, component: str, version: str, ground: Ground) -> None:
        await self.director.promote(component, version, ground)

    async def _stop(self, component: str, version: str, ground: Ground) -> None:
        await self.director.stop(component, version, ground)

    async def start(self) -> None:
        await self.deployer.deploy(await self.shelve("orders", "1.0.0"))

    async def give(self, version: str = "1.1.0", weight: float = 0.5, **share: Any) -> Release:
        known = [each for each in self.ledger.of("orders") if each.version == version]
        release = known[0] if known else await self.shelve("orders", version, sequence=2)
        return await self.director.give(release, Share(weight, **share))

    async def call(self, **context: Any) -> str:
        answer = await self.running.call("orders", "any", b'{"data":{}}', context=CallContext(**context))
        return answer.decode()

    async def calls(self, count: int) -> list[str]:
        return [await self.call() for _ in range(count)]

    async def copies_made(self) -> None:
        while self.copies:
            await self.copies.pop(0)

    def decisions(self) -> list[tuple[str, str, str]]:
        told = [event for event in self.events if isinstance(event, CandidateDecided)]
        return [(event.version, event.decision, event.by) for event in told]


async def test_shares_are_told_and_kept_with_the_release() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=0.5)
    assert set(await trial.calls(60)) == {"1.0.0", "1.1.0"}
    (told,) = [event for event in trial.events if isinstance(event, TrafficChanged)]
    assert told.candidates == ({"version": "1.1.0", "weight": 0.5, "shadow": False},)
    (candidate,) = trial.ledger.candidates("orders")
    assert candidate.share is not None
    assert candidate.share.since == trial.clock.now()
    await trial.give(weight=0.0)
    assert set(await trial.calls(30)) == {"1.0.0"}


async def test_a_busy_candidate_and_one_that_faults_hand_the_call_to_the_live_release() -> None:
    for error in (BusyError("Full."), GuestTrapError("unreachable")):
        trial = Trial()
        trial.answers["1.1.0"] = raising(error)
        await trial.start()
        await trial.give(weight=1.0)
        assert await trial.calls(3) == ["1.0.0"] * 3


async def test_a_call_that_has_acted_is_not_made_again() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=1.0)

    async def acting(function: str, payload: bytes, *, context: CallContext, **_more: object) -> bytes:
        context.acting("'save'")
        raise GuestTrapError("unreachable")

    trial.pools["1.1.0"].call = acting  # type: ignore[method-assign, assignment]
    with pytest.raises(GuestTrapError):
        await trial.call()


async def test_a_refusal_is_the_candidates_answer_and_counts_as_one() -> None:
    trial = Trial()
    trial.answers["1.1.0"] = raising(GuestFailedError("No."))
    await trial.start()
    await trial.give(weight=1.0)
    with pytest.raises(GuestFailedError):
        await trial.call()
    shown = trial.watch.describe("orders")
    assert shown["candidates"][0]["figures"]["refused"] == 1
    assert shown["main"] | {"figures": None} == {"version": "1.0.0", "weight": 0.0, "figures": None}


async def test_an_answer_that_breaks_the_contract_is_blamed_on_who_gave_it() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=1.0)
    await trial.call()
    trial.running.blame("orders")
    await trial.give(weight=0.0)
    await trial.call()
    trial.running.blame("orders")
    main = trial.running.require("orders")
    split = trial.director.split("orders")
    assert split is not None
    assert main.conduct.faults == 1
    assert split.members[0].running.conduct.faults == 1


async def test_the_rule_promotes_and_the_release_before_drains() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=0.5, auto=True)
    await trial.calls(60)
    await trial.watch.look()
    assert trial.decisions() == []
    trial.clock.pass_by(61)
    await trial.watch.look()
    assert trial.decisions() == [("1.1.0", "promote", "rule")]
    live = trial.ledger.live("orders")
    assert live is not None
    assert (live.version, live.share, trial.ledger.named("orders", "1.0.0").stage) == (
        "1.1.0",
        None,
        Stage.DRAINING,
    )
    assert set(await trial.calls(5)) == {"1.1.0"}
    assert [each.release.version for each in trial.drained] == ["1.0.0"]
    # In its probation it can still go back.
    assert await roll_back(trial.deployer, trial.bus, "orders", reason="It misbehaved.") is not None


async def test_the_rule_decides_nothing_that_an_operator_keeps_for_himself() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=0.5)
    await trial.calls(60)
    trial.clock.pass_by(61)
    await trial.watch.look()
    assert trial.decisions() == []
    (candidate,) = trial.watch.describe("orders")["candidates"]
    assert candidate["reason"].startswith("by rule it would be 'promote'")


async def test_faults_end_any_trial_and_the_candidate_is_not_tried_again() -> None:
    trial = Trial()
    trial.answers["1.1.0"] = raising(GuestTrapError("unreachable"))
    await trial.start()
    await trial.give(weight=1.0)
    assert await trial.calls(5) == ["1.0.0"] * 5
    await trial.watch.look()
    assert trial.decisions() == [("1.1.0", "stop", "rule")]
    assert trial.ledger.named("orders", "1.1.0").stage is Stage.QUARANTINED
    with pytest.raises(EdgehostError, match="quarantined"):
        await trial.give()


async def test_a_shadow_takes_no_calls_and_more_copies_than_fit_are_skipped() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=1.0, shadow=True)
    assert await trial.calls(5) == ["1.0.0"] * 5
    assert len(trial.copies) == 2
    await trial.copies_made()
    (shadow,) = trial.watch.describe("orders")["candidates"]
    assert shadow["comparison"] == {
        "compared": 2,
        "mismatches": 2,
        "uncompared": 0,
        "skipped": 3,
        "mismatch_rate": 1.0,
    }
    assert shadow["samples"][0]["paths"] == [""]
    assert trial.running.require("orders").conduct.calls == 5


async def test_a_shadow_that_refuses_what_the_live_release_refuses_agrees_with_it() -> None:
    trial = Trial()
    trial.answers = dict.fromkeys(("1.0.0", "1.1.0"), raising(GuestFailedError("No.")))
    await trial.start()
    await trial.give(weight=1.0, shadow=True)
    with pytest.raises(GuestFailedError):
        await trial.call()
    await trial.copies_made()
    split = trial.director.split("orders")
    assert split is not None
    assert split.members[0].shadow.compared == 1
    assert split.members[0].shadow.mismatches == 0


async def test_what_shares_cannot_be_is_refused_and_nothing_changes() -> None:
    trial = Trial()
    await trial.start()
    await trial.give("1.1.0", 0.6)
    for version, weight, says in (("1.2.0", 0.5, "1.1 of the calls"), ("1.1.0", 2.0, "within 0 and 1")):
        with pytest.raises(RefusedError, match=says):
            await trial.give(version, weight)
    await trial.give("1.2.0", 0.1)
    with pytest.raises(RefusedError, match="3 candidates"):
        await trial.give("1.3.0", 0.1)
    assert trial.ledger.named("orders", "1.3.0").stage is Stage.SHELVED
    other = await trial.shelve("orders", "1.4.0", sequence=9, model={"endpoint": "others"})
    await trial.director.stop("orders", "1.2.0", GROUND)
    with pytest.raises(IncompatibleReleaseError, match=r"model\.endpoint differs"):
        await trial.director.give(other, Share(0.1))
    with pytest.raises(NotFoundError):
        await trial.director.give(await trial.shelve("sales", "1.0.0"), Share(0.1))


async def test_a_key_goes_with_its_header_record_or_member() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=0.5, sticky="header:x-caller")
    assert trial.routes.stuck == {"orders": "x-caller"}
    assert len({await trial.call(sticky="ada") for _ in range(10)}) == 1
    await trial.give(weight=0.5, sticky="id")
    assert trial.routes.stuck == {"orders": "edgehost-sticky"}
    assert len({await trial.call(record_id="r1") for _ in range(10)}) == 1
    assert len({await trial.call(record_id=f"r{number}") for number in range(30)}) == 2


async def test_a_live_release_that_goes_takes_its_candidates_along() -> None:
    trial = Trial()
    await trial.start()
    await trial.give(weight=0.5)
    assert await roll_back(trial.deployer, trial.bus, "orders", reason="It misbehaved.") is None
    assert trial.running.get("orders") is None
    assert trial.running.everything() == ()
    assert sorted(each.release.version for each in trial.drained) == ["1.0.0", "1.1.0"]
    assert trial.ledger.named("orders", "1.1.0").stage is Stage.DRAINING


async def test_a_candidate_that_does_not_start_again_is_quarantined_and_the_others_run() -> None:
    trial = Trial()
    await trial.start()
    await trial.give("1.1.0", 0.2)
    await trial.give("1.2.0", 0.2)
    trial.start_errors["1.1.0"] = GuestTrapError("unreachable")
    await trial.director.start_again("orders")
    assert [each.version for each in trial.ledger.candidates("orders")] == ["1.2.0"]
    assert trial.ledger.named("orders", "1.1.0").stage is Stage.QUARANTINED
    assert set(await trial.calls(60)) == {"1.0.0", "1.2.0"}


async def test_a_candidate_whose_file_is_lost_is_not_to_blame() -> None:
    trial = Trial()
    await trial.start()
    await trial.give("1.1.0", 0.2)
    await trial.shelf.collect([trial.ledger.named("orders", "1.0.0").digest])
    await trial.director.start_again("orders")
    assert trial.ledger.named("orders", "1.1.0").stage is Stage.RETIRED


async def test_the_watch_sleeps_until_there_is_a_candidate_and_looks_at_once_at_a_fault() -> None:
    trial = Trial()
    trial.answers["1.1.0"] = raising(GuestTrapError("unreachable"))
    await trial.start()
    watching = asyncio.create_task(trial.watch.run(), name="watch")
    try:
        await trial.give(weight=1.0)
        await trial.calls(5)
        trial.watch.wake()
        async with asyncio.timeout(30):
            while not trial.decisions():
                await asyncio.sleep(0)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    assert trial.decisions() == [("1.1.0", "stop", "rule")]


async def test_a_machine_that_cannot_start_a_candidate_now_does_not_condemn_it() -> None:
    trial = Trial()
    await trial.start()
    await trial.give("1.1.0", 0.2)
    trial.start_errors["1.1.0"] = UnavailableError("No process can be started.")
    await trial.director.start_again("orders")
    assert trial.ledger.named("orders", "1.1.0").stage is Stage.RETIRED
    trial.start_errors.clear()
    await trial.give("1.1.0", 0.2)
    assert [each.version for each in trial.ledger.candidates("orders")] == ["1.1.0"]
