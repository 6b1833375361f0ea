"""When a certificate is renewed, and when a clock may be believed about it. Pure; all times are unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeGuard

from edgehost.domain.backoff import Backoff

DAY_S: Final = 86_400.0
#: Authorities date a certificate back or forward by minutes; beyond this one of the two clocks is wrong.
SKEW_S: Final = 3600.0
#: Renewals of a fleet that was enrolled in one hour are spread over this part of a certificate's life.
_SPREAD: Final = 0.05
#: The first retry comes within this time, the later ones by back-off; the tries a day bound them all.
_RETRIES: Final = Backoff(base_s=900.0, cap_s=DAY_S / 4)
#: An authority that says "come again later" is neither asked at once nor never again.
_LEAST_WAIT_S, _MOST_WAIT_S = 60.0, DAY_S
_MOST_TRIES_KEPT: Final = 48
#: What a note may say; it is shown to people.
_LONGEST_TEXT: Final = 500


class Standing(StrEnum):
    """How it is with a certificate."""

    HOLDS = "holds"
    DUE = "due"
    EXPIRED = "expired"
    MISSING = "missing"
    UNUSABLE = "unusable"  # not PEM, or the key is another one's
    WAITS_FOR_CLOCK = "waits for the clock"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What is read of one certificate and its key."""

    subject: str
    names: tuple[str, ...]  # subject alternative names, such as "DNS:gate"
    issuer: str
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256, hexadecimal
    begins: float
    ends: float
    key_kind: str  # such as "EC secp256r1", "RSA 2048", "Ed25519"

    def renew_at(self, share: float, chance: float) -> float:
        """The moment from which it is due: ``share`` of its life, and a little more by ``chance`` from 0 to 1."""
        return self.begins + (self.ends - self.begins) * min(share + _SPREAD * chance, 0.98)


@dataclass(frozen=True, slots=True)
class HostMoment:
    """What time it is, as far as this host can know."""

    now: float
    is_set: bool  # the machine's clock was set at all
    floor: float = 0.0  # the newest moment that signatures vouch for; 0: none does
    #: The machine's clock is never believed: ``now`` runs on from the floor, and it may be later than that.
    is_least: bool = False


def clock_doubt(moment: HostMoment, begins: float | None) -> str:
    """Why the clock cannot be believed about a certificate that begins then; "" when it can.

    What is known to be the least needs no belief: what has ended by it has ended, and what is due by it is due.
    """
    if moment.is_least:
        return ""
    if not moment.is_set:
        return "this machine's clock is not set"
    if moment.now < moment.floor - SKEW_S:
        return (
            f"this machine's clock says {day(moment.now)}, and signed documents are from {day(moment.floor)}"
        )
    if begins is not None and moment.now < begins - SKEW_S:
        return f"this machine's clock says {day(moment.now)}, and the certificate begins on {day(begins)}"
    return ""


def day(unix_s: float) -> str:
    """A date for people."""
    return f"{datetime.fromtimestamp(min(max(unix_s, 0.0), 253_402_300_799.0), UTC):%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class RenewalNotes:
    """What is remembered of a certificate's renewals, over restarts."""

    tries: tuple[float, ...] = ()  # when the authority was asked, oldest first
    failures: int = 0  # in a row
    not_before: float = 0.0  # the next try
    trouble: str = ""  # why the last try failed
    hint: str = ""
    on_trial: str = ""  # fingerprint of a new certificate that nobody has taken yet
    refused: str = ""  # fingerprint of the last one that was given back
    renewed_at: float = 0.0
    seen: float = 0.0  # the last moment that was noted while something was to be done

    def as_of(self, now: float) -> RenewalNotes:
        """Without what a clock that ran ahead has written: the future forbids nothing."""
        tries = tuple(each for each in self.tries if each <= now + SKEW_S)
        not_before = 0.0 if self.not_before > now + _MOST_WAIT_S + SKEW_S else self.not_before
        return replace(self, tries=tries[-_MOST_TRIES_KEPT:], not_before=not_before)

    def ahead_of(self, now: float) -> float:
        """Seconds by which these notes were written later: of a time that begins anew with each start."""
        return max(max((*self.tries, self.seen)) - now, 0.0)

    def may_try_at(self, now: float, tries_a_day: int) -> float:
        """The first moment at which the authority may be asked again; ``now`` or before: at once."""
        recent = [each for each in self.tries if each > now - DAY_S]
        free = 0.0 if len(recent) < tries_a_day else recent[-tries_a_day] + DAY_S
        return max(self.not_before, free)

    def tried(self, now: float) -> RenewalNotes:
        """Written before the authority is asked, so that a host that dies of it counts too."""
        return replace(self, tries=(*self.tries, now)[-_MOST_TRIES_KEPT:])

    def failed(self, now: float, why: str, hint: str, chance: float) -> RenewalNotes:
        """The try came to nothing."""
        return replace(
            self,
            failures=self.failures + 1,
            not_before=now + _RETRIES.delay_s(self.failures, (1 + chance) / 2),
            trouble=why[:_LONGEST_TEXT],
            hint=hint[:_LONGEST_TEXT],
        )

    def told_to_wait(self, now: float, wait_s: float, why: str) -> RenewalNotes:
        """The authority has taken the request and wants to be asked again; bounded to a minute and a day."""
        bounded = min(max(wait_s, _LEAST_WAIT_S), _MOST_WAIT_S)
        return replace(self, not_before=now + bounded, trouble=why[:_LONGEST_TEXT], hint="")

    def renewed(self, now: float, fingerprint: str, *, on_trial: bool) -> RenewalNotes:
        """A new certificate is in its place."""
        return replace(
            self,
            failures=0,
            not_before=0.0,
            trouble="",
            hint="",
            on_trial=fingerprint if on_trial else "",
            refused="",
            renewed_at=now,
        )

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def read_notes(document: object) -> RenewalNotes:
    """The notes of a document; what does not fit is as if it had not been written."""
    if not isinstance(document, dict):
        return RenewalNotes()
    plain = RenewalNotes()
    found: dict[str, Any] = {}
    for name in plain.__slots__:
        value, default = document.get(name), getattr(plain, name)
        if isinstance(default, tuple):
            found[name] = _moments(value)
        elif isinstance(default, float):
            found[name] = float(value) if _is_moment(value) else default
        elif isinstance(default, int):
            found[name] = min(max(value, 0), 1000) if isinstance(value, int) else default
        else:
            found[name] = value[:_LONGEST_TEXT] if isinstance(value, str) else default
    return RenewalNotes(**found)


def _moments(value: object) -> tuple[float, ...]:
    each: list[Any] = value if isinstance(value, list) else []
    return tuple(sorted(float(moment) for moment in each if _is_moment(moment)))[-_MOST_TRIES_KEPT:]


def _is_moment(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12  # noqa: PLR2004 - in the year 33000
