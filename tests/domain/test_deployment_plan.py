from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.deployment import ConfigChange, Deployment, WantedComponent
from edgehost.domain.deployment_life import ALLOWED_MOVES, Before, HeldDeployment, owners
from edgehost.domain.deployment_plan import (
    Action,
    Choice,
    ComponentFacts,
    ComponentPlan,
    Standing,
    plan_component,
    plan_restore,
)
from edgehost.domain.deployment_reader import read_signed_deployment, signed_bytes
from edgehost.domain.errors import ConflictError
from edgehost.domain.rollout_report import FINAL_STATES, RolloutState
from edgehost.domain.version_range import VersionRange

OLD, NEW = Choice("1.0.0", "a" * 64, 1, here=True), Choice("1.1.0", "b" * 64, 2, here=False)
FACTS = ComponentFacts(live=OLD, choices=(OLD, NEW))


def wanted(versions: str = "^1", **more: Any) -> WantedComponent:
    return WantedComponent("pump", VersionRange.parse(versions), **more)


def planned(wish: WantedComponent, facts: ComponentFacts = FACTS) -> ComponentPlan:
    return plan_component(wish, facts, "deployment site")


def actions(plan: ComponentPlan) -> list[str]:
    return [str(step.action) for step in plan.steps]


def test_the_best_release_within_the_range_is_fetched_and_deployed_and_the_reason_says_why() -> None:
    plan = planned(wanted())
    assert actions(plan) == ["fetch", "deploy"]
    assert plan.target == NEW
    assert plan.reason == "deployment site wants ^1; 1.0.0 is live."


def test_what_is_live_and_fits_stays_and_needs_no_step() -> None:
    assert planned(wanted("=1.0.0")).standing is Standing.REACHED
    assert planned(wanted("=1.0.0")).steps == ()


def test_an_older_release_is_deployed_when_the_range_says_so() -> None:
    facts = replace(FACTS, live=NEW)
    plan = planned(wanted("=1.0.0"), facts)
    assert actions(plan) == ["deploy"]


def test_what_is_not_there_may_come_and_what_cannot_run_here_fails() -> None:
    assert planned(wanted("^2")).standing is Standing.BLOCKED
    refused = replace(FACTS, refused={"2.0.0": "It is quarantined: traps"})
    plan = planned(wanted("^2"), refused)
    assert plan.standing is Standing.FAILED
    assert plan.reason == "Nothing that fits ^2 can run here: 2.0.0: It is quarantined: traps"


def test_configuration_goes_along_with_a_release_and_needs_a_step_of_its_own_without_one() -> None:
    change = ConfigChange((), {"rate": "secret"})
    assert actions(planned(wanted(config=change))) == ["fetch", "deploy"]
    plan = planned(wanted("=1.0.0", config=change))
    assert actions(plan) == ["configure"]
    assert plan.steps[0].what == "rate"  # never the value
    assert planned(wanted("=1.0.0", config=change), replace(FACTS, config={"rate": "secret"})).steps == ()


def test_a_share_is_tried_only_beside_another_release() -> None:
    assert actions(planned(wanted(share=0.1))) == ["fetch", "try"]
    assert actions(planned(wanted(share=0.1), ComponentFacts(choices=(NEW,)))) == ["fetch", "deploy"]
    assert planned(wanted(share=0.1), replace(FACTS, candidates={NEW.digest: 0.1})).steps == ()
    assert actions(planned(wanted(share=0.2), replace(FACTS, candidates={NEW.digest: 0.1}))) == [
        "fetch",
        "try",
    ]


def test_what_an_operator_chose_stays() -> None:
    pinned = replace(FACTS, pinned=True)
    assert planned(wanted(), pinned).standing is Standing.REACHED
    assert planned(wanted("=1.1.0"), pinned).standing is Standing.BLOCKED


def test_what_is_live_and_does_not_run_is_not_there() -> None:
    plan = planned(wanted("=1.0.0"), replace(FACTS, down="no memory"))
    assert (plan.standing, plan.reason) == (Standing.BLOCKED, "It is live but does not run: no memory")


def test_what_goes_back_ends_its_trials_and_takes_configuration_and_bindings_along() -> None:
    before = Before(OLD.digest, "1.0.0", {"rate": "1"}, {"pump.turn": "", "pump.stop": "mast"})
    facts = replace(
        FACTS,
        candidates={NEW.digest: 0.1},
        config={"rate": "2"},
        bindings={"pump.turn": "mill", "pump.stop": "mast"},
    )
    plan = plan_restore("pump", before, facts, "It failed.")
    assert actions(plan) == ["end-trial", "configure", "bind"]
    assert plan.bindings == {"pump.turn": ""}
    assert actions(plan_restore("pump", before, replace(facts, live=NEW), "It failed.")) == ["deploy", "bind"]
    assert actions(plan_restore("pump", Before(), facts, "It failed.")) == ["stop"]
    gone = replace(facts, live=NEW, choices=(NEW,))
    assert plan_restore("pump", before, gone, "It failed.").standing is Standing.FAILED


_CHOICES = st.builds(
    Choice,
    st.sampled_from(["0.9.0", "1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0"]),
    st.sampled_from([letter * 64 for letter in "abcdef"]),
    st.integers(1, 9),
    here=st.booleans(),
)
_TABLES = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))


@given(
    st.builds(
        WantedComponent,
        st.just("pump"),
        st.sampled_from([VersionRange.parse(text) for text in ("*", "^1", "=1.0.0", "^9")]),
        st.booleans(),
        st.builds(ConfigChange, st.sampled_from([(), ("*",), ("a",)]), _TABLES),
        _TABLES,
        st.sampled_from([0.0, 0.1]),
    ),
    st.builds(
        ComponentFacts,
        live=st.none() | _CHOICES,
        pinned=st.booleans(),
        choices=st.lists(_CHOICES, max_size=4).map(tuple),
        config=_TABLES,
        bindings=_TABLES,
    ),
)
def test_what_was_done_is_not_planned_again(wish: WantedComponent, facts: ComponentFacts) -> None:
    plan = planned(wish, facts)
    if plan.standing is not Standing.CHANGING:
        assert plan.steps == ()
        return
    done = facts
    if plan.does(Action.STOP):
        done = replace(done, live=None)
    if plan.does(Action.TRY) and plan.target is not None:
        done = replace(done, candidates={plan.target.digest: plan.share})
    if plan.does(Action.DEPLOY):
        done = replace(done, live=plan.target, config=plan.config)
    if plan.does(Action.CONFIGURE):
        done = replace(done, config=plan.config)
    done = replace(done, bindings={**done.bindings, **plan.bindings})
    assert planned(wish, done).steps == ()


# Lives


def held(name: str, *, priority: int = 0, accepted_at: float = 0.0, **more: Any) -> HeldDeployment:
    content = signed_bytes({"name": name, "priority": priority, "components": {"pump": {}}}, 1)
    deployment: Deployment = read_signed_deployment(content, name=name, sequence=1)
    return HeldDeployment(deployment, content, "fleet", accepted_at, **more)


def test_a_component_is_of_the_higher_priority_then_of_the_later() -> None:
    low, late, high = held("low"), held("late", accepted_at=9), held("high", priority=1)
    assert owners([high, late, low])["pump"] is high
    assert owners([late, low])["pump"] is late


def test_a_deployment_outlives_a_restart_word_for_word() -> None:
    whole = held(
        "site",
        state=RolloutState.APPLYING,
        since=5.0,
        before={"pump": Before("a" * 64, "1.0.0", {"rate": "1"}, {"pump.turn": ""}, ("c" * 64,))},
        given_up=("d" * 64,),
        failed={"pump": "It traps."},
        taking_back=True,
    )
    assert HeldDeployment.from_document("site", whole.as_document()) == whole


def test_the_table_of_moves_knows_every_state_and_what_failed_stays_so() -> None:
    assert set(ALLOWED_MOVES) == set(RolloutState)
    assert ALLOWED_MOVES[RolloutState.FAILED] == frozenset()
    assert {RolloutState.SUCCESSFUL, RolloutState.FAILED, RolloutState.HALTED} == set(FINAL_STATES)
    with pytest.raises(ConflictError, match="cannot go from waiting to successful"):
        held("site").moved_to(RolloutState.SUCCESSFUL, at=1.0)
