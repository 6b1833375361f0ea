"""Compare candidates with the live release, and end their trials by rule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edgehost.domain.probation import ProbationRule, Verdict, judge
from edgehost.domain.version_comparison import Comparison, ComparisonRule, Decision, compare
from edgehost.ports.clock import Clock
from edgehost.usecases.direct_traffic import Ground
from edgehost.usecases.running_components import RunningComponents, RunningRelease
from edgehost.usecases.split_calls import Candidate, SplitCalls

#: Calls that go well wake nobody; so often they are looked at while there are candidates.
_LOOK_S: Final = 1.0

Decide = Callable[[str, str, Ground], Awaitable[None]]  # component, version, ground


class TrafficWatch:
    """Looks at faults at once and at everything else once a second; sleeps while there is no candidate."""

    def __init__(
        self,
        running: RunningComponents,
        clock: Clock,
        *,
        probation: ProbationRule,
        rule_of: Callable[[str], ComparisonRule],
        promote: Decide,
        stop: Decide,
    ) -> None:
        self._running = running
        self._clock = clock
        self._probation = probation
        self._rule_of = rule_of
        self._promote = promote
        self._stop = stop
        self._woken = asyncio.Event()

    def wake(self, _running: RunningRelease | None = None) -> None:
        """Look again: a fault happened, or the candidates differ."""
        self._woken.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._woken.clear()
            await self.look()
            try:
                async with asyncio.timeout(_LOOK_S if self._splits() else None):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Judge every candidate, once."""
        for component, split in self._splits():
            for candidate in split.members:
                found = self.verdict(component, split, candidate)
                release = candidate.running.release
                if found.decision is Decision.STOP:
                    ground = Ground("rule", found.reason, figures_of(split, candidate))
                    await self._stop(component, release.version, ground)
                    break  # the others are looked at in their new split
                if found.decision is Decision.PROMOTE:
                    ground = Ground("rule", found.reason, figures_of(split, candidate))
                    await self._promote(component, release.version, ground)
                    break

    def verdict(self, component: str, split: SplitCalls, candidate: Candidate) -> Comparison:
        """What is to become of a candidate now; faults of its code end every trial, whoever began it."""
        conduct = candidate.running.conduct
        share = candidate.share
        if self._probation.seconds and judge(conduct, self._probation, over=False) is Verdict.ROLL_BACK:
            return Comparison(Decision.STOP, f"{conduct.faults} of its {conduct.calls} calls failed.")
        found = compare(
            split.main_figures,
            candidate.figures.figures(),
            self._rule_of(component),
            elapsed_s=max(0.0, self._clock.now() - share.since),
            shadow=candidate.shadow if share.shadow else None,
        )
        if share.auto or found.decision is Decision.WAIT:
            return found
        return Comparison(Decision.WAIT, f"by rule it would be '{found.decision}': {found.reason}")

    def describe(self, component: str) -> dict[str, Any]:
        """How a component's calls are divided and what came of it, ready for JSON.

        Raises:
            NotFoundError: no such component runs.
        """
        main = self._running.require(component)
        split = self._running.split_of(component)
        described: dict[str, Any] = {
            "component": component,
            "main": {"version": main.release.version, "weight": 1.0},
            "sticky": "",
            "candidates": [],
        }
        if not isinstance(split, SplitCalls):
            return described
        given = sum(each.share.weight for each in split.members if not each.share.shadow)
        described["main"] |= {
            "weight": round(max(0.0, 1 - given), 9),
            "figures": split.main_figures.to_document(),
        }
        described["sticky"] = str(split.plan.sticky)
        for each in split.members:
            found = self.verdict(component, split, each)
            described["candidates"].append(
                {
                    "version": each.running.release.version,
                    "weight": each.share.weight,
                    "shadow": each.share.shadow,
                    "auto": each.share.auto,
                    "since": each.share.since,
                    "figures": each.figures.figures().to_document(),
                    "decision": str(found.decision),
                    "reason": found.reason,
                }
                | (_shadow_document(each) if each.share.shadow else {})
            )
        return described

    def _splits(self) -> list[tuple[str, SplitCalls]]:
        found = []
        for running in self._running.all():
            component = running.release.component
            split = self._running.split_of(component)
            if isinstance(split, SplitCalls):
                found.append((component, split))
        return found


def figures_of(split: SplitCalls, candidate: Candidate) -> dict[str, Any]:
    """The figures that a decision was made on."""
    figures = {
        "main": split.main_figures.to_document(),
        "candidate": candidate.figures.figures().to_document(),
    }
    return figures | ({"shadow": candidate.shadow.to_document()} if candidate.share.shadow else {})


def _shadow_document(candidate: Candidate) -> dict[str, Any]:
    return {
        "comparison": candidate.shadow.to_document(),
        "ignore": list(candidate.share.ignore),
        "samples": list(candidate.samples),
    }
