"""A host answers to orders about sequences and waves that are not there, and keeps to the order that it had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from edgehost.adapters.fleet.operator_keys import load_operators
from edgehost.adapters.fleet.rollout_orders import RolloutOrders
from edgehost.composition.fleet_findings import order_findings
from edgehost.domain.fleet_rules import HostTime
from edgehost.domain.rollout_messages import OrderAnswer, read_answer
from edgehost.domain.rollout_report import RolloutOrder
from remotes.owned_tasks import owned_tasks
from tests.adapters.fleet.test_fleet_view import FLEET, Remembered


@dataclass
class Answers:
    """A FleetLink that hands over what a host tells."""

    connected: bool = True
    told: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    def tell(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        assert topic == FLEET.host("one").order_answer("site")
        assert expires_s
        self.told.put_nowait(payload)

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        raise NotImplementedError

    def put(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        raise NotImplementedError

    def ask_again(self) -> None:
        raise NotImplementedError


@dataclass
class Asked:
    """A host that has some sequences of the deployment 'site'."""

    orders: RolloutOrders
    answers: Answers
    told: list[str]
    memory: Remembered
    issued_at: float = 0.0

    async def says_to(self, order: RolloutOrder, sequence: int, wave: int = 0, **more: float) -> OrderAnswer:
        self.issued_at += 1
        document = {"order": order, "sequence": sequence, "wave": wave, "issued_at": self.issued_at, **more}
        self.orders.take("site", json.dumps({"status": "init", **document}).encode())
        async with asyncio.timeout(30):
            return read_answer(await self.answers.told.get())

    @property
    def held_to(self) -> tuple[RolloutOrder, int] | None:
        command = self.orders.newest("site")
        return None if command is None else (command.order, command.sequence)


@asynccontextmanager
async def asked(held: Mapping[int, int]) -> AsyncIterator[Asked]:
    answers, told, memory = Answers(), list[str](), Remembered()
    orders = RolloutOrders(
        FLEET.host("one"), answers, None, memory.newest, memory.note, lambda: None, tell=told.append
    )
    orders.held = lambda _name: held
    async with owned_tasks() as spawn:
        spawn(orders.run(), "orders")
        yield Asked(orders, answers, told, memory)


async def test_an_order_about_what_is_there_is_obeyed_without_a_word() -> None:
    async with asked({3: 2}) as host:
        answer = await host.says_to(RolloutOrder.APPROVE, 3, 1)
        assert (answer.obeyed, answer.reason) == (True, "")
        assert host.held_to == (RolloutOrder.APPROVE, 3)


@pytest.mark.parametrize(
    ("order", "sequence", "wave", "reason"),
    [
        (RolloutOrder.RESUME, 2, 0, "This host has sequence 3 of site; 2 is not there any more."),
        (RolloutOrder.APPROVE, 3, 2, "Sequence 3 of site has waves 0 to 1; there is no wave 2."),
    ],
)
async def test_an_order_about_nothing_is_refused_and_the_one_before_it_holds(
    order: RolloutOrder, sequence: int, wave: int, reason: str
) -> None:
    async with asked({3: 2}) as host:
        assert (await host.says_to(RolloutOrder.HALT, 3)).obeyed
        answer = await host.says_to(order, sequence, wave)
        assert (answer.obeyed, answer.reason) == (False, reason)
        assert host.held_to == (RolloutOrder.HALT, 3)
        assert host.memory.orders == {"site": 1.0}
        # an order for an earlier sequence stays at the broker, and is shown at every start: it is no trouble
        assert (host.orders.refused, host.told) == (0, [])


async def test_an_order_for_what_may_still_come_is_kept_and_says_so() -> None:
    async with asked({3: 2}) as host:
        answer = await host.says_to(RolloutOrder.APPROVE, 4, 7)
        assert answer.obeyed
        assert answer.reason.startswith("This host has not taken in sequence 4 of site; it has 3.")
        assert host.held_to == (RolloutOrder.APPROVE, 4)
    async with asked({}) as host:
        assert "it has none" in (await host.says_to(RolloutOrder.HALT, 4)).reason


async def test_the_doctor_speaks_of_keys_only_where_a_key_is_wrong() -> None:
    async with asked({3: 2}) as host:
        host.orders.time = lambda: HostTime(100.0)
        assert not (await host.says_to(RolloutOrder.HALT, 3, issued_at=9e9)).obeyed
        (told,) = order_findings(SimpleNamespace(orders=host.orders))  # type: ignore[arg-type] # of a view, this alone
        assert "a clock is wrong" in told["detail"]
        assert told["hint"] == "Set the operator's clock and this host's, then give the order again."
        assert not (await host.says_to(RolloutOrder.HALT, 3, fleet=7)).obeyed
        (told,) = order_findings(SimpleNamespace(orders=host.orders))  # type: ignore[arg-type] # as above
        assert told["hint"] == "See who may publish there."
        host.orders.signatures = load_operators(())
        assert not (await host.says_to(RolloutOrder.HALT, 3)).obeyed
        (told,) = order_findings(SimpleNamespace(orders=host.orders))  # type: ignore[arg-type] # as above
        assert "[[fleet.operators]]" in told["hint"]
