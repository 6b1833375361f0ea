"""What operators say to rollouts: checked one after another, obeyed when it is genuine and the newest, and answered."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edgehost.domain.errors import EdgehostError, NotGrantedError, RefusedError, UntrustedReleaseError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.fleet_messages import read_submission
from edgehost.domain.fleet_rules import AHEAD_MOST_S, ANYBODY, HostTime, Operator
from edgehost.domain.fleet_topics import HostTopics
from edgehost.domain.json_text import tell_json
from edgehost.domain.rollout_messages import OrderAnswer, SignedOrder, answer_document, order_mark, read_order
from edgehost.domain.rollout_numbers import order_fault, order_note
from edgehost.domain.rollout_report import RolloutCommand
from edgehost.ports.fleet_link import FleetLink, Signatures

log = logging.getLogger("edgehost.fleet")

#: What an order is signed for.
ORDER: Final = "edgehost rollout"
_ROLLOUT: Final = "rollout"
_WAITING: Final = 64
_HINT_FOR_KEYS: Final = (
    "Give the operator's key to [[fleet.operators]] with 'rollout' in its may, or see who may publish there."
)
_HINT: Final = "See who may publish there."
#: Answers, at once and then a second; the others get none.
_ANSWERS_PER_S: Final = 20.0
_ANSWER_EXPIRES_S: Final = 60.0


class _Answer(NamedTuple):
    obeyed: bool
    reason: str


@dataclass(slots=True)
class RolloutOrders:
    """``take`` gets what comes; ``run`` checks it."""

    topics: HostTopics
    link: FleetLink
    signatures: Signatures | None  # None: whoever the broker lets in may order
    newest_order: Callable[[str], float]  # what was issued before it is not obeyed again, over restarts
    note_order: Callable[[str, float], Awaitable[None]]
    changed: Callable[[], None]
    time: Callable[[], HostTime] = field(default=lambda: HostTime(0.0, is_set=False))
    tell: Callable[[str], None] = log.warning
    held: Callable[[str], Mapping[int, int]] = field(
        default=lambda _deployment: {}
    )  # its sequences that this host has, and how many waves each has
    refused: int = 0  # since the start
    last_refusal: str = ""
    refusal_hint: str = ""
    _orders: dict[str, RolloutCommand] = field(default_factory=dict)
    _incoming: deque[tuple[str, bytes]] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _rate: EventRate = field(default_factory=lambda: EventRate(per_s=_ANSWERS_PER_S))

    def newest(self, deployment: str) -> RolloutCommand | None:
        """The newest order whose signature holds."""
        return self._orders.get(deployment)

    def take(self, deployment: str, payload: bytes) -> None:
        """An order, not yet looked at; never waits."""
        if payload and len(self._incoming) < _WAITING:  # whoever clears the topic has no say: an order holds
            self._incoming.append((deployment, payload))
            self._filled.set()

    async def run(self) -> None:
        """Check orders until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._incoming:
                deployment, payload = self._incoming.popleft()
                try:
                    answer = await self._obey(deployment, payload)
                except EdgehostError as error:
                    self.tell(f"An order for the rollout of {deployment} is not obeyed: {error}")
                    self.refused += 1
                    self.last_refusal = f"{deployment}: {error.message}"
                    of_keys = isinstance(error, NotGrantedError | UntrustedReleaseError)
                    self.refusal_hint = _HINT_FOR_KEYS if of_keys else error.hint or _HINT
                    self._answer(deployment, payload, _Answer(obeyed=False, reason=str(error)))
                except Exception:  # whatever a broker brings must not end the host
                    log.exception("An order for the rollout of %s could not be dealt with.", deployment)
                else:
                    self._answer(deployment, payload, answer)

    def _answer(self, deployment: str, payload: bytes, said: _Answer) -> None:
        if not self._rate.admits("answer", asyncio.get_running_loop().time()):
            return
        answer = OrderAnswer(order_mark(payload), obeyed=said.obeyed, reason=said.reason)
        self.link.tell(
            self.topics.order_answer(deployment),
            tell_json(answer_document(answer)),
            expires_s=_ANSWER_EXPIRES_S,
        )

    async def _obey(self, deployment: str, payload: bytes) -> _Answer:
        order, operator = await self._opened(payload, deployment)
        if (order.fleet, order.deployment) != (self.topics.fleet, deployment):
            raise RefusedError(f"It was signed for {order.deployment} of the fleet {order.fleet}.")
        operator.require(_ROLLOUT)
        newest, time = self.newest_order(deployment), self.time()
        if time.is_set and order.issued_at > time.now + AHEAD_MOST_S:
            raise RefusedError(
                "It is from the future, and would be the last one that is obeyed: a clock is wrong.",
                hint="Set the operator's clock and this host's, then give the order again.",
            )
        if order.issued_at < newest:
            raise RefusedError("A newer order was obeyed already.", hint="Sign a new one.")
        held = self.held(deployment)
        fault = order_fault(order.order, deployment, order.sequence, order.wave, held)
        if fault:  # it may have been right once, and is shown at every start: nothing for the doctor
            log.info("An order for the rollout of %s is about nothing here: %s", deployment, fault)
            return _Answer(obeyed=False, reason=fault)
        if order.issued_at > newest:
            await self.note_order(deployment, order.issued_at)
        self._orders[deployment] = RolloutCommand(
            deployment, order.sequence, order.order, order.wave, operator.shown
        )
        self.changed()
        return _Answer(obeyed=True, reason=order_note(deployment, order.sequence, held))

    async def _opened(self, payload: bytes, deployment: str) -> tuple[SignedOrder, Operator]:
        what = read_submission(payload)
        if what is not None and what.signed and self.signatures is not None:
            document, operator = await self.signatures.opened(what.signed, purpose=ORDER)
            return read_order(document), operator
        if self.signatures is not None or what is None:
            raise NotGrantedError("Orders must be signed.", hint="'edgehost fleet' signs them.")
        assumed = {"fleet": self.topics.fleet, "deployment": deployment}
        return read_order({**assumed, **(what.document or {})}), ANYBODY
