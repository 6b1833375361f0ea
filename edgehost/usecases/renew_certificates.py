"""Keep one certificate of this host from ending: look, ask for a new one in time, check it, try it, or go back.

The clock comes first: while it is not set, or behind what signatures vouch for, nobody is asked. What is in use stays
until a new pair has passed every check, and is there again when the new one is not taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.certificate_events import (
    CertificateMoved,
    CertificateRefused,
    CertificateRenewalFailed,
    CertificateRenewed,
)
from edgehost.domain.certificate_life import (
    DAY_S,
    CertificateFacts,
    HostMoment,
    RenewalNotes,
    Standing,
    clock_doubt,
)
from edgehost.domain.errors import EdgehostError, RefusedError, UnavailableError
from edgehost.ports.certificate_authority import (
    CertificateAuthority,
    CertificateUser,
    CertificateWorkshop,
    Pair,
    PairStore,
    RequestPendingError,
    SigningRequest,
    Verdict,
)
from edgehost.ports.event_bus import EventBus

log = logging.getLogger("edgehost.certificates")

#: Wall clocks jump, and files are replaced by hand: looked at this often at least.
LOOK_S: Final = 900.0
_LEAST_PAUSE_S: Final = 5.0
#: A new certificate that nobody could be shown is tried again after this time, doubled up to LOOK_S.
_TRIAL_S: Final = 15.0
#: What cannot be used any more may be half of a pair that somebody is replacing: it is looked at once again.
_HALF_S: Final = 60.0
_TO_RENEW: Final = frozenset({Standing.DUE, Standing.EXPIRED, Standing.MISSING, Standing.UNUSABLE})


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """What the operator wants of one certificate."""

    name: str
    common_name: str  # of the first request, when there is no certificate yet
    share: float = 2 / 3  # of its life, after which it is renewed
    new_key: bool = True
    tries_a_day: int = 6


@dataclass(slots=True)
class CertificateRenewal:
    """The life of one certificate. ``chance`` gives 0 to 1 for a seed: the same one for the same certificate."""

    plan: RenewalPlan
    authority: CertificateAuthority
    workshop: CertificateWorkshop
    store: PairStore
    bus: EventBus
    moment: Callable[[], HostMoment]  # reads what signatures vouch for: for decisions
    now: Callable[[], float]  # unix seconds: for whoever only looks
    anchors: Callable[[], bytes | None]  # blocking; PEM
    chance: Callable[[str], float]
    users: Sequence[CertificateUser] = ()
    connect_anew: Callable[[], None] = lambda: None
    facts: CertificateFacts | None = None
    standing: Standing = Standing.HOLDS  # until the first look
    why: str = ""  # of a standing that needs a reason
    judged_by: HostMoment | None = None  # at the last look
    notes: RenewalNotes = field(default_factory=RenewalNotes)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _shown: CertificateFacts | None = None  # the last one that could be used
    _trials: int = 0
    _is_open: bool = False
    _ahead: float = 0.0  # of the notes: pauses and tries a day are counted by this time, certificates are not

    async def run(self) -> None:
        """Look and renew until cancelled; a fault of one turn is the owner's to log."""
        while True:
            wait_s = await self.turn()
            try:
                async with asyncio.timeout(max(wait_s, _LEAST_PAUSE_S)):
                    await self.wake.wait()
            except TimeoutError:
                continue
            self.wake.clear()

    async def turn(self) -> float:
        """Look once, renew when it is due, go on with a trial; returns the seconds until the next look."""
        async with self._turn:
            before = self.facts
            await self._look()
            if before is not None and self.facts is None:
                return _HALF_S
            if self.notes.on_trial:
                await self._go_on_with_trial()
            now = self.moment().now
            if self.standing in _TO_RENEW and not self.notes.on_trial:
                if self.next_try_at(now) <= now:
                    try:
                        await self._renew()
                    except EdgehostError as problem:
                        log.warning("The certificate '%s' is not renewed: %s", self.plan.name, problem)
                else:
                    await self._note_seen(now + self._ahead)
            return self._pause_s()

    async def renew_now(self) -> None:
        """Renew it however long it holds; the operator's word comes before the tries a day.

        Raises:
            RefusedError, UnavailableError: it was asked in vain; the one before is in use.
        """
        async with self._turn:
            await self._look()
            doubt = clock_doubt(self.moment(), None if self.facts is None else self.facts.begins)
            if doubt:
                raise UnavailableError(
                    f"Nobody is asked for a certificate while {doubt}.", hint="Set the clock first."
                )
            await self._renew()
        self.wake.set()

    async def look_only(self) -> str:
        """What a renewal would do; the authority is asked, and has nothing signed.

        Raises:
            RefusedError, UnavailableError: it would not work now.
        """
        async with self._turn:
            await self._look()
            current = self.store.paths() if self._vouches() else None
            would = await self.authority.look(current)
            anchors = await asyncio.to_thread(self.anchors)
            if anchors is not None:
                await self._require_authorities(anchors)
            return would

    async def look(self) -> None:
        """See how it is, and change nothing."""
        await self._open_notes()
        await self._read()

    def renew_at(self) -> float:
        """When it becomes due; 0 when there is none."""
        if self.facts is None:
            return 0.0
        return self.facts.renew_at(self.plan.share, self.chance(self.facts.fingerprint))

    def next_try_at(self, now: float) -> float:
        """The first moment at which the authority may be asked."""
        paced = now + self._ahead
        return self.notes.as_of(paced).may_try_at(paced, self.plan.tries_a_day) - self._ahead

    async def _look(self) -> None:
        """Read what is in use, and judge it by the clock; the first time, finish what a power cut left undone."""
        if not self._is_open:
            self._is_open = True
            try:
                await asyncio.to_thread(self.store.mend)
            except UnavailableError as problem:
                log.warning("The certificate '%s' is not in its place: %s", self.plan.name, problem)
            await self._open_notes()
        await self._read()
        before, self._shown = self._shown, self.facts or self._shown
        if before is not None and self._vouches() and self.facts != before:
            self.connect_anew()  # somebody has put another one there
        if self.notes.on_trial and (self.facts is None or self.facts.fingerprint != self.notes.on_trial):
            await self._note(replace(self.notes, on_trial=""))

    async def _open_notes(self) -> None:
        self.notes = await asyncio.to_thread(self.store.notes)
        moment = await asyncio.to_thread(self.moment)
        self._ahead = self.notes.ahead_of(moment.now) if moment.is_least else 0.0

    async def _note_seen(self, paced: float) -> None:
        """Where time begins anew with each start, a pause would never end for a host that is off at night."""
        if self.judged_by is not None and self.judged_by.is_least and paced >= self.notes.seen + LOOK_S:
            await self._note(replace(self.notes, seen=paced))

    async def _read(self) -> None:
        pair = await asyncio.to_thread(self.store.current)
        why = ""
        facts: CertificateFacts | None = None
        try:
            facts = None if pair is None else await asyncio.to_thread(self.workshop.facts, pair)
        except RefusedError as problem:
            why = str(problem)
        self.facts = facts
        self._stand(*self._judged(why))

    def _judged(self, unusable: str) -> tuple[Standing, str]:
        moment = self.judged_by = self.moment()
        doubt = clock_doubt(moment, None if self.facts is None else self.facts.begins)
        if doubt:
            return Standing.WAITS_FOR_CLOCK, doubt
        if unusable:
            return Standing.UNUSABLE, unusable
        if self.facts is None:
            return Standing.MISSING, ""
        if self.facts.ends <= moment.now:
            return Standing.EXPIRED, ""
        return (Standing.DUE if self.renew_at() <= moment.now else Standing.HOLDS), ""

    def _stand(self, standing: Standing, why: str) -> None:
        moved, self.standing, self.why = standing != self.standing, standing, why
        if moved:
            self._publish(CertificateMoved, standing=str(standing))

    def _vouches(self) -> bool:
        return self.standing in {Standing.HOLDS, Standing.DUE}

    async def _renew(self) -> None:
        """Ask, check, put in place, try.

        Raises:
            RefusedError, UnavailableError: nothing was changed, and it is noted.
        """
        now = self._paced()
        self.notes = self.notes.as_of(now).tried(now)
        on_trial = bool(self.users) and self.facts is not None
        try:
            # An unwritten try would not count after a crash.
            await asyncio.to_thread(self.store.note, self.notes)
            made = await self._asked()
            facts = await asyncio.to_thread(self.workshop.facts, made)
            # First the note: a power cut between the two leaves a note that the next look drops.
            await self._note(self.notes.renewed(now, facts.fingerprint, on_trial=on_trial))
            await asyncio.to_thread(self.store.put, made)
        except RequestPendingError as pending:
            await self._note(self.notes.told_to_wait(now, pending.retry_after_s, pending.message))
            raise
        except EdgehostError as problem:
            await self._failed(problem)
            raise
        await asyncio.to_thread(self.store.drop_pending)
        self.facts, self._shown, self._trials = facts, facts, 0
        log.info("There is a new certificate '%s'.", self.plan.name)
        self._stand(*self._judged(""))
        if on_trial:
            await self._go_on_with_trial()
        else:
            self._accepted()

    async def _asked(self) -> Pair:
        """A checked pair."""
        pair = None if self.facts is None else await asyncio.to_thread(self.store.current)
        like = None if pair is None else pair.certificate
        key, request = await self._request(pair, like)
        current = self.store.paths() if self._vouches() else None
        anchors = await asyncio.to_thread(self.anchors)
        between = b"" if anchors is None else await self._require_authorities(anchors)
        try:
            asked = SigningRequest(request, current, may_have_ended=self.moment().is_least)
            answer = await self.authority.sign(asked)
            moment = self.moment()
            return await asyncio.to_thread(
                lambda: self.workshop.paired(
                    answer,
                    key,
                    now=moment.now,
                    is_least=moment.is_least,
                    like=like,
                    anchors=anchors,
                    between=between,
                )
            )
        except RefusedError:
            await asyncio.to_thread(self.store.drop_pending)  # the next try begins afresh
            raise

    async def _request(self, pair: Pair | None, like: bytes | None) -> tuple[bytes, bytes]:
        """The key and the request, kept before they are sent: the same request may have to be sent again."""
        kept = await asyncio.to_thread(self.store.pending)
        if kept is not None and await asyncio.to_thread(
            lambda: self.workshop.fits(kept[1], kept[0], like=like)
        ):
            return kept
        if pair is not None and not self.plan.new_key:
            key = pair.key
        else:
            key = await asyncio.to_thread(self.workshop.new_key, None if pair is None else pair.key)
        request = await asyncio.to_thread(
            lambda: self.workshop.request(key, like=like, common_name=self.plan.common_name)
        )
        await asyncio.to_thread(self.store.keep_pending, key, request)
        return key, request

    async def _require_authorities(self, anchors: bytes) -> bytes:
        between = await self.authority.authorities()
        moment = self.moment()
        await asyncio.to_thread(
            lambda: self.workshop.require_authorities(
                between, anchors, now=moment.now, is_least=moment.is_least
            )
        )
        return between

    async def _failed(self, problem: EdgehostError) -> None:
        now = self._paced()
        chance = self.chance(f"{self.notes.failures}/{now}")
        notes = replace(self.notes.failed(now, problem.message, problem.hint, chance), on_trial="")
        await self._note(notes)
        self._publish(CertificateRenewalFailed, reason=problem.message, failures=self.notes.failures)

    async def _go_on_with_trial(self) -> None:
        """Show the new certificate to those who use it; refused while the old one is taken, it goes.

        A refusal looks like a bad line, so that the old certificate is shown as well, and the new one once more.
        """
        new, old = self.store.paths(), self.store.last_good_paths()
        self._trials += 1
        taken = False
        for user in self.users:
            if await user.try_with(new) is Verdict.TAKEN:
                taken = True
            elif (
                old is not None
                and await user.try_with(old) is Verdict.TAKEN
                and await user.try_with(new) is not Verdict.TAKEN
            ):
                await self._put_back(user.name)
                return
        if taken:
            await self._note(replace(self.notes, on_trial=""))
            self._accepted()

    async def _put_back(self, by: str) -> None:
        fingerprint = self.notes.on_trial
        now = self._paced()
        await asyncio.to_thread(self.store.put_back)
        why = f"{by} refuses the new certificate and takes the one before, which is in use again."
        hint = f"Let {by} know the authority and the name of the new one; 'edgehost certificates renew {self.plan.name}' tries again."
        notes = self.notes.failed(now, why, hint, 1.0)
        # Whoever refuses it must be told by somebody first: certificates that nobody takes are not asked for by the hour.
        notes = replace(notes, not_before=now + DAY_S, on_trial="", refused=fingerprint)
        await self._note(notes)
        log.error("The certificate '%s': %s", self.plan.name, why)
        self._publish(CertificateRefused, fingerprint=fingerprint, by=by)
        self.facts = self._shown = None  # of the one that is gone: connections stand on the one that is back
        await self._look()

    def _accepted(self) -> None:
        if self.facts is not None:
            self._publish(
                CertificateRenewed,
                fingerprint=self.facts.fingerprint,
                ends=self.facts.ends,
                new_key=self.plan.new_key,
            )
        self.connect_anew()

    async def _note(self, notes: RenewalNotes) -> None:
        self.notes = notes
        try:
            await asyncio.to_thread(self.store.note, notes)
        except UnavailableError as problem:  # what it does is worth more than its memory of it
            log.warning("What happened to the certificate '%s' is not noted: %s", self.plan.name, problem)

    def _paced(self) -> float:
        """The time that is noted: it goes on where the notes end."""
        return self.moment().now + self._ahead

    def _pause_s(self) -> float:
        now = self.moment().now
        if self.notes.on_trial:
            return min(_TRIAL_S * 2.0 ** min(self._trials, 10), LOOK_S)
        if self.standing is Standing.HOLDS:
            return min(max(self.renew_at() - now, _LEAST_PAUSE_S), LOOK_S)
        if self.standing is Standing.WAITS_FOR_CLOCK:
            return LOOK_S / 15  # a clock is set within a minute or two of the network
        return min(max(self.next_try_at(now) - now, _LEAST_PAUSE_S), LOOK_S)

    def _publish(self, kind: type[Any], **details: Any) -> None:  # noqa: ANN401 - the event's own
        self.bus.publish(kind(at=self.moment().now, certificate=self.plan.name, **details))
