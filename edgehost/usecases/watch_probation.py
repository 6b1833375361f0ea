"""Watch new releases and name those that must go or have proved themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edgehost.domain.probation import ProbationRule, Verdict, judge
from edgehost.ports.clock import Clock
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.running_components import RunningComponents, RunningRelease


class ProbationWatch:
    """Judges at every fault and when a probation ends; sleeps in between."""

    def __init__(
        self,
        running: RunningComponents,
        ledger: ReleaseLedger,
        clock: Clock,
        rule: ProbationRule,
        roll_back: Callable[[str, str], Awaitable[None]],
        *,
        kept: Callable[[RunningRelease], Awaitable[None]] | None = None,
    ) -> None:
        self._running = running
        self._ledger = ledger
        self._clock = clock
        self._rule = rule
        self._roll_back = roll_back
        self._kept = kept  # told of each release that has proved itself
        self._woken = asyncio.Event()
        self._ends: dict[
            str, float
        ] = {}  # by digest, in monotonic seconds: the wall clock may jump meanwhile

    def wake(self, _running: RunningRelease | None = None) -> None:
        """Look again: a fault happened, or a release went live."""
        self._woken.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._woken.clear()
            await self.look()
            try:
                async with asyncio.timeout(self.seconds_to_next_end()):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Judge every release that is in its probation, once."""
        self._note_ends()
        now = self._clock.monotonic()
        for running in self._running.all():
            until = running.release.probation_until
            if not until:
                continue
            conduct = running.conduct
            verdict = judge(conduct, self._rule, over=now >= self._ends[running.release.digest])
            if verdict is Verdict.ROLL_BACK:
                await self._roll_back(
                    running.release.component,
                    f"{conduct.faults} of {conduct.calls} calls failed in its probation.",
                )
            elif verdict is Verdict.KEEP:
                running.release = await self._ledger.end_probation(running.release)
                if self._kept is not None:
                    await self._kept(running)

    def seconds_to_next_end(self) -> float | None:
        """How long until the next probation ends; None when none runs."""
        self._note_ends()
        if not self._ends:
            return None
        return max(min(self._ends.values()) - self._clock.monotonic(), 0.05)

    def _note_ends(self) -> None:
        """When each probation ends: what is left by the wall clock at the first look, and no more than the rule says."""
        found = {}
        for running in self._running.all():
            release = running.release
            if release.probation_until:
                left_s = min(max(release.probation_until - self._clock.now(), 0.0), self._rule.seconds)
                found[release.digest] = self._ends.get(release.digest, self._clock.monotonic() + left_s)
        self._ends = found
