"""Work whose success is not seen in the next plan."""

from __future__ import annotations

import asyncio
from typing import Any

from edgehost.domain.backoff import Backoff
from edgehost.domain.deployment_plan import Action, ComponentPlan, Standing, Step
from edgehost.usecases.reconcile_work import Errand, ReconcileWork
from tests.usecases.deploy_scene import StillClock

PLAN = ComponentPlan(
    "pump", Standing.CHANGING, "it is wanted", (Step(Action.DEPLOY, "1.0.0", "it is wanted"),)
)


class Hands:
    """They say that it is done."""

    def __init__(self) -> None:
        self.fetching: set[str] = set()
        self.carried_out = 0

    async def carry_out(self, _plan: ComponentPlan) -> None:
        self.carried_out += 1


async def test_what_was_done_and_is_still_to_do_is_not_done_again_and_again() -> None:
    clock, hands = StillClock(), Hands()
    told: Any = hands
    work = ReconcileWork(told, clock, lambda: None, Backoff(base_s=2.0, cap_s=300.0))

    async def look() -> list[float]:
        async with asyncio.TaskGroup() as tasks:
            return work.start(Errand("digest", PLAN), tasks)

    assert await look() == []
    assert await look() == []  # once more: the facts may have moved while it was done
    (wait_s,) = await look()
    assert hands.carried_out == 2
    assert work.reason(PLAN) == "It was done, and is still to do: it is wanted"
    clock.pass_by(wait_s)
    assert await look() == []
    (longer_s,) = await look()
    assert longer_s > 0
    assert hands.carried_out == 3
    clock.pass_by(longer_s)
    work.is_reached("pump")
    work.forget("pump")
    assert await look() == []
    assert work.wait_s("pump") == 0
