"""The circuit breakers of every port, one for each class of errors that the port names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost.domain.call_policy import error_class, is_illness
from edgehost.domain.circuit_breaker import Breaker, Position
from edgehost.domain.errors import EdgehostError
from edgehost.domain.port_spec import BreakerRule

log = logging.getLogger("edgehost.ports")

#: Told of each move: (model, port, class of errors, position).
MoveTold = Callable[[str, str, str, Position], None]


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that was let through, for the report of its end."""

    model: str
    port: str
    generations: Mapping[str, int]  # by class of errors


class PortBreakers:
    """One breaker for each (model, port, class of errors); a changed rule starts its breaker anew."""

    def __init__(self, told: MoveTold) -> None:
        self._told = told
        self._breakers: dict[tuple[str, str], dict[str, Breaker]] = {}

    def refusing(self, model: str, port: str, rules: Mapping[str, BreakerRule], now: float) -> str:
        """The class of errors whose breaker lets no call through now; "" when all would."""
        breakers = self._of(model, port, rules)
        return next((name for name, each in breakers.items() if not each.admits(now)), "")

    def admit(self, model: str, port: str, rules: Mapping[str, BreakerRule], now: float) -> Admission:
        """Let one call through; only when none is ``refusing``."""
        breakers = self._of(model, port, rules)
        for name, each in list(breakers.items()):
            self._put(model, port, name, each.admitted(now))
        return Admission(model, port, {name: each.generation for name, each in breakers.items()})

    def note(
        self, admission: Admission, rules: Mapping[str, BreakerRule], error: EdgehostError | None, now: float
    ) -> None:
        """Count the end of a call. A refusal is an answer: whoever gives it is well."""
        counted = "" if error is None else error_class(error, rules)
        ill = error is not None and is_illness(error)
        for name, each in list(self._of(admission.model, admission.port, rules).items()):
            generation = admission.generations.get(name, -1)
            if ill and name != counted and each.position is Position.HALF_OPEN:
                after = each.abandoned(
                    generation
                )  # it failed, but at something that is not this one's concern
            else:
                after = each.ended(now, generation, failed=name == counted)
            self._put(admission.model, admission.port, name, after)

    def abandon(self, admission: Admission) -> None:
        """The call ended without an outcome: its caller gave up, or it led nowhere."""
        for name, each in list(self._breakers.get((admission.model, admission.port), {}).items()):
            after = each.abandoned(admission.generations.get(name, -1))
            self._put(admission.model, admission.port, name, after)

    def state_of(
        self, model: str, port: str, rules: Mapping[str, BreakerRule], now: float
    ) -> dict[str, dict[str, Any]]:
        """Each breaker of a port, ready for JSON."""
        states = {}
        for name, each in self._of(model, port, rules).items():
            calls, errors = each.counts(now)
            states[name] = {
                "position": str(each.position),
                "calls": calls,
                "errors": errors,
                "openings": each.openings,
                "retest_in_s": round(max(0.0, each.retest_at() - now), 3)
                if each.position is Position.OPEN
                else 0.0,
            }
        return states

    def forget_others(self, known: frozenset[tuple[str, str]]) -> None:
        """Drop the breakers of ports that are served no longer."""
        for key in self._breakers.keys() - known:
            del self._breakers[key]

    def _of(self, model: str, port: str, rules: Mapping[str, BreakerRule]) -> dict[str, Breaker]:
        breakers = self._breakers.setdefault((model, port), {})
        if breakers.keys() != rules.keys() or any(breakers[name].rule != rules[name] for name in rules):
            kept = {
                name: breakers[name] if name in breakers and breakers[name].rule == rule else Breaker(rule)
                for name, rule in rules.items()
            }
            breakers.clear()
            breakers.update(kept)
        return breakers

    def _put(self, model: str, port: str, name: str, after: Breaker) -> None:
        breakers = self._breakers[model, port]
        before, breakers[name] = breakers[name], after
        if before.position is not after.position:
            level = logging.WARNING if after.position is Position.OPEN else logging.INFO
            log.log(level, "The breaker of %s.%s (%s) is %s.", model, port, name, after.position)
            self._told(model, port, name, after.position)
