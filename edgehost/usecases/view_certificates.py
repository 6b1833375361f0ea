"""The certificates that this host renews, as operators, doctors and fleets see them: meets the CertificateControl port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.certificate_life import Standing, day
from edgehost.domain.errors import NotFoundError
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.finding import finding
from edgehost.usecases.renew_certificates import CertificateRenewal

#: Of what was left of a certificate's life when it became due: then somebody has to come and look.
_LATE: Final = 0.5
_AFTER: Final = "The host tries again by itself"


@dataclass(slots=True)
class Certificates:
    """Those of one host, by name."""

    by_name: dict[str, CertificateRenewal] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None  # what they have in common is no longer needed; blocking

    async def certificates(self) -> Sequence[Mapping[str, Any]]:
        """Each as it is now."""
        return [_document(name, each) for name, each in self.by_name.items()]

    async def renew(self, name: str, *, dry_run: bool = False) -> Mapping[str, Any]:
        """Renew it now, or say what would be done."""
        renewal = self.by_name.get(name)
        if renewal is None:
            raise NotFoundError(
                f"This host renews no certificate '{name[:80]}'.",
                hint=did_you_mean(name[:80], self.by_name) or "Describe it under [[certificates]].",
            )
        if dry_run:
            would = await renewal.look_only()
            return {**_document(name, renewal), "would": would}
        await renewal.renew_now()
        return _document(name, renewal)

    async def twin(self) -> Mapping[str, Any]:
        """What a fleet is shown: what changes seldom."""
        return {
            name: {
                "standing": str(each.standing),
                "subject": "" if each.facts is None else each.facts.subject,
                "ends": 0 if each.facts is None else round(each.facts.ends),
                "renews_at": round(each.renew_at()),
                "on_trial": bool(each.notes.on_trial),
                **({"reason": _reason(each)} if _reason(each) else {}),
            }
            for name, each in self.by_name.items()
        }

    def findings(self) -> Iterator[Mapping[str, Any]]:
        """For the host's doctor, and so for alarms."""
        for name, each in self.by_name.items():
            state, detail, hint = _judgement(each)
            yield finding(f"certificate {name}", state, detail, hint)


def _judgement(each: CertificateRenewal) -> tuple[str, str, str]:
    notes, facts, now = each.notes, each.facts, each.now()
    keeps = "What runs keeps running, and local calls are answered."
    match each.standing:
        case Standing.WAITS_FOR_CLOCK:
            return (
                "warning",
                f"Nobody is asked while {each.why}.",
                "Set the clock, or wait for the network's.",
            )
        case Standing.MISSING:
            return "failed", _with_trouble("There is none yet.", notes.trouble), notes.hint or f"{_AFTER}."
        case Standing.UNUSABLE:
            return "failed", _with_trouble(each.why, notes.trouble), notes.hint or f"{_AFTER}."
        case Standing.EXPIRED:
            ended = 0.0 if facts is None else facts.ends
            what = f"It ended on {day(ended)}. {keeps}"
            return "failed", _with_trouble(what, notes.trouble), notes.hint or f"{_AFTER}."
        case Standing.HOLDS | Standing.DUE:
            return _judgement_while_it_holds(each, now)


def _judgement_while_it_holds(each: CertificateRenewal, now: float) -> tuple[str, str, str]:
    notes, ends = each.notes, 0.0 if each.facts is None else each.facts.ends
    until = f"It holds until {day(ends)}"
    if notes.refused:
        return "failed", f"{notes.trouble} {until}.", notes.hint
    if notes.on_trial:
        return "warning", f"{until}, and is new: nobody could be shown it yet.", "The one before is kept."
    if notes.trouble and each.standing is Standing.DUE:
        is_late = ends - now < _LATE * (ends - each.renew_at())
        what = _with_trouble(f"{until}.", notes.trouble)
        return "failed" if is_late else "warning", what, notes.hint or f"{_AFTER}."
    due = f"{until}, and is renewed from {day(each.renew_at())} on"
    moment = each.judged_by
    if moment is None or not moment.is_least:
        return "ok", due, ""
    if not moment.floor:
        return (
            "warning",
            f"{due}, by signed dates alone (trust_clock = false), and nothing signed was accepted yet.",
            f"Follow a remote that is refreshed. Until then 'edgehost certificates renew {each.plan.name}' renews it.",
        )
    return "ok", f"{due} by signed dates, of which the newest is {day(moment.floor)}", ""


def _with_trouble(what: str, trouble: str) -> str:
    return f"{what} The last try: {trouble}".strip() if trouble else what


def _reason(each: CertificateRenewal) -> str:
    return each.why or each.notes.trouble


def _document(name: str, each: CertificateRenewal) -> dict[str, Any]:
    facts, now = each.facts, each.now()
    state, detail, hint = _judgement(each)
    return {
        "name": name,
        "standing": str(each.standing),
        "state": state,
        "detail": detail,
        "hint": hint,
        "subject": "" if facts is None else facts.subject,
        "names": [] if facts is None else list(facts.names),
        "issuer": "" if facts is None else facts.issuer,
        "serial": "" if facts is None else facts.serial,
        "fingerprint": "" if facts is None else facts.fingerprint,
        "key": "" if facts is None else facts.key_kind,
        "begins": 0 if facts is None else facts.begins,
        "ends": 0 if facts is None else facts.ends,
        "renews_at": each.renew_at(),
        "next_try_at": each.next_try_at(now),
        "tries_a_day": each.plan.tries_a_day,
        "tries": list(each.notes.tries),
        "failures": each.notes.failures,
        "on_trial": bool(each.notes.on_trial),
        "renewed_at": each.notes.renewed_at,
        "cert_file": str(each.store.paths().certificate),
        "users": [user.name for user in each.users],
    }
