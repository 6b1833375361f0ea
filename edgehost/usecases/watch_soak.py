"""Health gates: what the components of a deployment must show while it soaks on this host."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.deployment import Deployment, Gates, WantedComponent
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.errors import BusyError, EdgehostError, NotFoundError
from edgehost.domain.probation import Conduct
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.pool_statistics import PoolStatistics
from edgehost.usecases.running_components import RunningComponents, RunningRelease

#: A check that hangs is a check that failed.
_CHECK_S: Final = 5.0
_CHECK: Final = CallContext(check=True)
#: What a check or a consent may say of its reason.
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class _Mark:
    """How a release stood when the soak began, or when it was first seen in it."""

    running: RunningRelease
    conduct: Conduct
    deaths: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Which component does not hold a gate, and why; ``version`` and ``digest`` are "" when it does not run."""

    component: str
    reason: str
    version: str = ""
    digest: str = ""


@dataclass(slots=True)
class SoakWatch:
    """Looks at what runs; ``fault`` is asked again and again while a deployment soaks."""

    running: RunningComponents
    _marks: dict[tuple[str, str], _Mark] = field(default_factory=dict)  # digest of the deployment, component

    async def fault(self, held: HeldDeployment) -> Fault | None:
        """The first gate that the deployment does not hold; None while it holds all."""
        deployment, gates = held.deployment, held.deployment.rollout.gates
        unchecked = []
        watched = [each for each in deployment.components if each.present and each.name not in held.failed]
        for wanted in watched:
            running = self._watched(wanted)
            if running is None:
                return Fault(wanted.name, "It does not run any more.")
            mark = self._mark(deployment, wanted.name, running)
            try:
                why = _figures(gates, mark, running) or await _checked(gates, running)
            except NotFoundError:
                unchecked.append(wanted.name)
                continue
            if why:
                return Fault(wanted.name, why, running.release.version, running.release.digest)
        if watched and len(unchecked) == len(watched):
            return Fault(unchecked[0], f"no component of the deployment has the check '{gates.check}'.")
        return None

    def forget(self, held: Mapping[str, object]) -> None:
        """Keep marks of these deployments only, by digest."""
        self._marks = {key: mark for key, mark in self._marks.items() if key[0] in held}

    def _watched(self, wanted: WantedComponent) -> RunningRelease | None:
        """The live release, or the one that is tried beside it."""
        split = self.running.split_of(wanted.name) if wanted.share else None
        for candidate in () if split is None else split.candidates:
            if wanted.versions.allows(candidate.release.version):
                return candidate
        return self.running.get(wanted.name)

    def _mark(self, deployment: Deployment, component: str, running: RunningRelease) -> _Mark:
        key = (deployment.digest, component)
        mark = self._marks.get(key)
        if mark is None or mark.running is not running:
            statistics = _statistics(running)
            mark = _Mark(running, running.conduct, statistics.deaths, statistics.refusals)
            self._marks[key] = mark
        return mark


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks the components of a deployment whether they can be changed now."""

    running: RunningComponents

    async def refusal(self, deployment: Deployment) -> str:
        """Which of them puts the change off, and why; "" when none does.

        A component says so by its export ``may_update``; one without it, or that fails to answer, has no say.
        """
        for wanted in deployment.components:
            if self.running.get(wanted.name) is None:
                continue
            question = json.dumps({"deployment": deployment.name, "sequence": deployment.sequence}).encode()
            try:
                answer = await self.running.call(wanted.name, "may_update", question, deadline_s=_CHECK_S)
            except NotFoundError:
                continue
            except EdgehostError:
                continue  # a broken component must not be able to keep its own repair away
            consent, reason = read_consent(answer)
            if not consent:
                return f"{wanted.name} puts it off{reason}"
        return ""


def read_consent(answer: bytes) -> tuple[bool, str]:
    """``{"ok": true}``, or not and why; anything else is a no that says so."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return False, ": its answer is no JSON."
    if not isinstance(document, Mapping) or not isinstance(document.get("ok"), bool):
        return False, ': its answer has no "ok".'
    reason = document.get("reason", "")
    return document["ok"], f": {str(reason)[:_LONGEST_REASON]}" if reason else "."


async def _checked(gates: Gates, running: RunningRelease) -> str:
    """Asked of its own instances, so that it counts among nobody's calls.

    Raises:
        NotFoundError: it has no such export.
    """
    if not gates.check:
        return ""
    try:
        answer = await running.pool.call(gates.check, b"{}", context=_CHECK, deadline_s=_CHECK_S)
    except BusyError:
        return ""  # of a busy component its calls say more than a check
    except NotFoundError:
        raise
    except EdgehostError as error:
        # One that has been replaced meanwhile is not asked any more.
        return "" if running.pool.draining else f"its check '{gates.check}' failed: {error.message}"
    consent, reason = read_consent(answer)
    return "" if consent else f"its check '{gates.check}' says no{reason}"


def _figures(gates: Gates, mark: _Mark, running: RunningRelease) -> str:
    calls = running.conduct.calls - mark.conduct.calls
    faults = running.conduct.faults - mark.conduct.faults
    if calls >= max(1, gates.calls_min) and faults > calls * gates.error_rate:
        return f"{faults} of {calls} calls failed; {gates.error_rate:.1%} is the most."
    statistics = _statistics(running)
    refusals = statistics.refusals - mark.refusals
    answered = (
        calls + refusals
    )  # an error that the component gives itself is no fault, and is counted by its pool
    if answered >= max(1, gates.calls_min) and refusals > answered * gates.refusal_rate:
        return f"it refused {refusals} of {answered} calls; {gates.refusal_rate:.1%} is the most."
    deaths = statistics.deaths - mark.deaths
    if gates.restarts and deaths > gates.restarts:
        return f"{deaths} of its sandboxes died; {gates.restarts} is the most."
    late_s = statistics.latency_s(0.95)
    if gates.latency_ms and calls >= gates.calls_min and late_s * 1000 > gates.latency_ms:
        return f"95 % of its calls take up to {math.ceil(late_s * 1000)} ms; {gates.latency_ms:g} ms is the most."
    return ""


def _statistics(running: RunningRelease) -> PoolStatistics:
    """Pools that count nothing, as tests have them, have no deaths."""
    return getattr(running.pool, "statistics", None) or PoolStatistics()
