"""Divides a component's calls between its live release and the candidates, and counts what came of it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

from edgehost.domain.answer_difference import differing_paths
from edgehost.domain.errors import EdgehostError, GuestFailedError, UnavailableError
from edgehost.domain.traffic import Share, TrafficPlan, member_of
from edgehost.domain.version_comparison import Figures, Outcome, RollingFigures, ShadowFigures
from edgehost.ports.sandbox import CallContext, CallTrail
from edgehost.usecases.running_components import FAULTS, RunningRelease

#: Copies on their way at one time; each is one call's input and answer in memory, and work for one core.
_COPIES_AT_ONCE: Final = 2
#: Differing answers that are kept to look at.
_SAMPLES: Final = 20

Spawn = Callable[[Coroutine[Any, Any, None], str], None]

#: Who answered this task's last call of a component with candidates.
_ANSWERED: ContextVar[tuple[str, Candidate | None] | None] = ContextVar("edgehost.answered", default=None)


@dataclass(eq=False, slots=True)
class Candidate:
    """A release beside the main one, and what came of its share."""

    running: RunningRelease
    share: Share
    figures: RollingFigures = field(default_factory=RollingFigures)
    shadow: ShadowFigures = field(default_factory=ShadowFigures)
    samples: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))


class SplitCalls:
    """One component's candidates; made anew whenever their shares change."""

    def __init__(self, component: str, candidates: tuple[Candidate, ...], spawn: Spawn) -> None:
        self._component = component
        self.members = candidates
        self.plan = TrafficPlan.of(
            component, {each.running.release.digest: each.share for each in candidates}
        )
        self._by_digest = {each.running.release.digest: each for each in candidates}
        self._shadows = any(each.share.shadow for each in candidates)
        self._spawn = spawn
        self._main = RollingFigures()
        self._calls = count()
        self._copies = 0

    @property
    def candidates(self) -> tuple[RunningRelease, ...]:
        """The releases beside the main one."""
        return tuple(each.running for each in self.members)

    @property
    def main_figures(self) -> Figures:
        """What the main release did since the shares are what they are."""
        return self._main.figures()

    async def call(
        self,
        main: RunningRelease,
        function: str,
        payload: bytes,
        *,
        context: CallContext,
        deadline_s: float | None,
    ) -> bytes:
        """The answer of whoever's turn it is.

        A candidate that is busy, drains, or fails before it has done anything hands the call to the main release,
        so that trying a version costs its callers no more than time.
        """
        key = self._key(payload, context)
        digest = self.plan.taker(key)
        if digest is not None:
            candidate = self._by_digest[digest]
            trail = CallTrail()
            try:
                return await self._counted(
                    candidate, function, payload, context=replace(context, trail=trail), deadline_s=deadline_s
                )
            except FAULTS:
                if trail.acted:
                    raise
            except UnavailableError:
                pass
        try:
            answer = await _measured(
                main, self._main, function, payload, context=context, deadline_s=deadline_s
            )
        except GuestFailedError:
            if self._shadows:
                self._copy(key, function, payload, context, None)
            raise
        _ANSWERED.set((self._component, None))
        if self._shadows:
            self._copy(key, function, payload, context, answer)
        return answer

    def blame(self, main: RunningRelease) -> None:
        """The last answer that this task got broke the contract."""
        answered = _ANSWERED.get()
        candidate = answered[1] if answered is not None and answered[0] == self._component else None
        if candidate is not None:
            candidate.figures.corrected()
            candidate.running.blame()
        else:
            self._main.corrected()
            main.blame()

    async def _counted(
        self,
        candidate: Candidate,
        function: str,
        payload: bytes,
        *,
        context: CallContext,
        deadline_s: float | None,
    ) -> bytes:
        answer = await _measured(
            candidate.running, candidate.figures, function, payload, context=context, deadline_s=deadline_s
        )
        _ANSWERED.set((self._component, candidate))
        return answer

    def _key(self, payload: bytes, context: CallContext) -> str:
        """What the call sticks to; without a word for it, its number, so that shares come out even."""
        match self.plan.sticky.kind:
            case "header":
                word = context.sticky
            case "id":
                word = context.record_id
            case "member":
                word = member_of(_document(payload), self.plan.sticky.name)
            case _:
                word = ""
        return word or f"\0{next(self._calls)}"

    def _copy(
        self, key: str, function: str, payload: bytes, context: CallContext, answer: bytes | None
    ) -> None:
        """Give shadows their copies; the caller has its answer and does not wait."""
        for digest in self.plan.shadowed(key):
            candidate = self._by_digest[digest]
            if self._copies >= _COPIES_AT_ONCE:
                candidate.shadow = replace(candidate.shadow, skipped=candidate.shadow.skipped + 1)
                continue
            self._copies += 1
            # A copy stands in the candidate's queue like any call from outside, and outlives the caller's deadline.
            copied = replace(context, chain=(), deadline=float("inf"), shadow=True, trail=CallTrail())
            self._spawn(
                self._compared(candidate, function, payload, copied, answer),
                f"edgehost.shadow.{self._component}",
            )

    async def _compared(
        self,
        candidate: Candidate,
        function: str,
        payload: bytes,
        context: CallContext,
        answer: bytes | None,
    ) -> None:
        """Call the shadow and compare: with the answer, or with there being none."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        theirs: bytes | None = None
        outcome = Outcome.ANSWERED
        try:
            theirs = await candidate.running.pool.call(function, payload, context=context)
        except FAULTS:
            outcome = Outcome.FAULT
        except UnavailableError:
            candidate.shadow = replace(candidate.shadow, skipped=candidate.shadow.skipped + 1)
            return
        except EdgehostError:
            outcome = Outcome.REFUSED
        finally:
            self._copies -= 1
        seen = candidate.shadow
        if context.trail is not None and context.trail.acted:
            # What it would have answered with the effect done is not known, so nothing is held against it.
            candidate.shadow = replace(seen, uncompared=seen.uncompared + 1)
            return
        candidate.figures.note(outcome, loop.time() - began)
        candidate.running.note(fault=outcome is Outcome.FAULT)
        if answer is None or theirs is None:
            same = answer is None and outcome is Outcome.REFUSED
            paths: tuple[str, ...] = () if same else ("",)
        else:
            paths = differing_paths(answer, theirs, candidate.share.ignore)
        candidate.shadow = replace(seen, compared=seen.compared + 1, mismatches=seen.mismatches + bool(paths))
        if paths:
            candidate.samples.append({"function": function, "paths": list(paths)})


async def _measured(
    running: RunningRelease,
    figures: RollingFigures,
    function: str,
    payload: bytes,
    *,
    context: CallContext,
    deadline_s: float | None,
) -> bytes:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        answer = await running.pool.call(function, payload, context=context, deadline_s=deadline_s)
    except FAULTS:
        figures.note(Outcome.FAULT, loop.time() - began)
        running.note(fault=True)
        raise
    except GuestFailedError:
        figures.note(Outcome.REFUSED, loop.time() - began)
        running.note(fault=False)
        raise
    figures.note(Outcome.ANSWERED, loop.time() - began)
    running.note(fault=False)
    return answer


def _document(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
