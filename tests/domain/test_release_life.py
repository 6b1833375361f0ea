"""The life of a release: only the moves of the table, and nothing half-way after a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgehost.domain.errors import ConflictError
from edgehost.domain.release_life import AFTER_RESTART, ALLOWED_MOVES, KEPT_STAGES, Release, Stage

STAGES = st.sampled_from(list(Stage))

#: Before a release may take traffic, each of these has happened since it last was on the shelf.
BEFORE_LIVE = [Stage.VERIFIED, Stage.SHELVED, Stage.STAGED, Stage.PROBED]


def a_release(stage: Stage = Stage.RECEIVED) -> Release:
    return Release("telemetry", "1.0.0", "d" * 64, 50_000, 1, "fleet", stage)


class LifeOfARelease(RuleBasedStateMachine):
    """Tries every move, allowed or not, with restarts in between."""

    def __init__(self) -> None:
        super().__init__()
        self.release = a_release()
        self.path = [Stage.RECEIVED]
        self.now = 0.0

    @rule(stage=STAGES, reason=st.text(max_size=5))
    def move(self, stage: Stage, reason: str) -> None:
        self.now += 1
        before = self.release
        if stage in ALLOWED_MOVES[before.stage]:
            self.release = before.moved_to(stage, at=self.now, reason=reason)
            moved = replace(before, stage=stage, changed_at=self.now, reason=reason)
            assert replace(self.release, awaited=before.awaited) == moved
            self.path.append(stage)
        else:
            with pytest.raises(ConflictError) as caught:
                before.moved_to(stage, at=self.now, reason=reason)
            assert before.component in str(caught.value)

    @rule(steps=st.lists(st.integers(0, 5), min_size=3, max_size=8))
    def follow_allowed_moves(self, steps: list[int]) -> None:
        for step in steps:
            allowed = sorted(ALLOWED_MOVES[self.release.stage])
            if allowed:
                self.move(allowed[step % len(allowed)], "")

    @rule()
    def restart(self) -> None:
        self.now += 1
        before = self.release
        self.release = before.after_restart()
        assert self.release.stage not in AFTER_RESTART
        assert self.release.after_restart() is self.release
        assert self.release.changed_at == before.changed_at
        if self.release.stage is before.stage:
            assert self.release is before
        else:
            self.path.append(self.release.stage)

    @invariant()
    def only_what_was_probed_takes_traffic(self) -> None:
        if self.release.stage not in (Stage.LIVE, Stage.CANDIDATE):
            return
        came_from = self.path[-2]
        assert came_from in (Stage.PROBED, Stage.DRAINING, Stage.CANDIDATE)
        for stage in BEFORE_LIVE:
            assert stage in self.path

    @invariant()
    def a_rejected_release_stays_rejected(self) -> None:
        if Stage.REJECTED in self.path:
            assert self.release.stage is Stage.REJECTED

    @invariant()
    def what_misbehaved_is_not_started_before_it_is_lifted(self) -> None:
        for stage, following in zip(self.path, self.path[1:], strict=False):
            if stage is Stage.QUARANTINED:
                assert following is Stage.SHELVED

    @invariant()
    def bytes_that_may_run_again_are_kept(self) -> None:
        if self.release.stage in KEPT_STAGES:
            assert Stage.SHELVED in self.path
        if self.release.stage in (Stage.STAGED, Stage.PROBED, Stage.LIVE, Stage.DRAINING, Stage.RETIRED):
            assert self.release.stage in KEPT_STAGES

    @invariant()
    def it_is_awaited_from_the_loss_of_its_file_until_it_is_back_or_over(self) -> None:
        starting = {Stage.SHELVED, Stage.STAGED, Stage.PROBED}
        before_that = next(stage for stage in reversed(self.path) if stage not in starting)
        assert self.release.awaited == (self.release.stage in starting and before_that is Stage.LIVE)

    @invariant()
    def what_it_is_never_changes(self) -> None:
        same = replace(self.release, stage=Stage.RECEIVED, reason="", changed_at=0.0, awaited=False)
        assert same == a_release()


TestLifeOfARelease = LifeOfARelease.TestCase
TestLifeOfARelease.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def reachable_from(stage: Stage) -> set[Stage]:
    found: set[Stage] = set()
    waiting = [stage]
    while waiting:
        for following in ALLOWED_MOVES[waiting.pop()] - found:
            found.add(following)
            waiting.append(following)
    return found


def test_the_table_names_every_stage_and_each_can_be_reached() -> None:
    assert set(ALLOWED_MOVES) == set(Stage)
    assert reachable_from(Stage.RECEIVED) | {Stage.RECEIVED} == set(Stage)


def test_every_release_that_was_shelved_can_go_live_or_back_live() -> None:
    for stage in KEPT_STAGES:
        assert Stage.LIVE in reachable_from(stage), stage


def test_every_release_that_can_run_can_be_quarantined_at_once() -> None:
    for stage in (Stage.STAGED, Stage.PROBED, Stage.CANDIDATE, Stage.LIVE, Stage.DRAINING, Stage.RETIRED):
        assert Stage.QUARANTINED in ALLOWED_MOVES[stage]


def test_a_restart_leads_to_stages_that_have_no_instances() -> None:
    assert set(AFTER_RESTART.values()) <= {Stage.SHELVED, Stage.RETIRED}
    for stage, settled in AFTER_RESTART.items():
        assert settled in ALLOWED_MOVES[stage]
