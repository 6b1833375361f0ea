"""What hosts see of each other: registrations, reports, and orders whose signature holds."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.adapters.fleet.fleet_view import MqttFleetView
from edgehost.adapters.fleet.mqtt_fleet import MqttFleet
from edgehost.adapters.fleet.operator_keys import OperatorKeys
from edgehost.domain.fleet_rules import HostTime, Operator
from edgehost.domain.fleet_topics import FleetTopics
from edgehost.domain.rollout_messages import SignedOrder
from edgehost.domain.rollout_report import RolloutOrder, RolloutReport, RolloutState
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks
from tests.adapters.fleet.fleet_scene import Tools
from tests.usecases.command_scene import new_key

FLEET = FleetTopics("yard")
ADA_PUBLIC, ADA = new_key()
BOB_PUBLIC, BOB = new_key()
KEYS = OperatorKeys(
    (
        (ADA_PUBLIC, Operator(ADA.key_id, "ada", may=("rollout",))),
        (BOB_PUBLIC, Operator(BOB.key_id, "bob", may=("deploy",))),
    )
)


@dataclass
class Remembered:
    orders: dict[str, float] = field(default_factory=dict)

    async def note(self, deployment: str, at: float) -> None:
        self.orders[deployment] = at

    def newest(self, deployment: str) -> float:
        return self.orders.get(deployment, 0.0)


@asynccontextmanager
async def viewing(
    broker: EmbeddedBroker,
    name: str,
    *,
    memory: Remembered | None = None,
    keys: OperatorKeys | None = KEYS,
    version: Any = "auto",
) -> AsyncIterator[MqttFleetView]:
    link = MqttFleet(
        FLEET.host(name),
        MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port, mqtt_version=version, backoff_base_s=0.05),
        f"boot of {name}",
        where="here",
        up_s=time.monotonic,
        now=time.monotonic,
        online=lambda: b'{"status":"online"}',
        offline=lambda _reason: b'{"status":"offline"}',
    )
    memory = memory or Remembered()
    view = MqttFleetView(
        FLEET, name, {"site": "north", "class": "pi4"}, link, keys, memory.newest, memory.note
    )
    link.listen(view.filters)
    view.settle_s = 0.2
    link.handlers.other, link.handlers.link, link.handlers.current = view.take, view.link_moved, view.all_came
    registration = {"id": name, "class": "pi4", "labels": {"site": "north"}}
    link.keep(link.topics.registration, json.dumps(registration).encode())
    async with owned_tasks() as spawn:
        spawn(link.run(), "link")
        spawn(view.run(), "view")
        yield view


async def until(view: MqttFleetView, holds: Callable[[], Any]) -> None:
    async def changed() -> None:
        async for _ in view.changes():
            return

    async with asyncio.timeout(30):
        first = asyncio.create_task(changed())  # it listens before it looks
        await asyncio.sleep(0)
        while not holds():
            await first
            first = asyncio.create_task(changed())
            await asyncio.sleep(0)
        first.cancel()


def report(host: str, state: RolloutState, reason: str = "") -> RolloutReport:
    return RolloutReport(host, "north", "spring", 3, "ab" * 32, 0, state, 5.0, reason)


def order(what: RolloutOrder, at: float, *, deployment: str = "spring", key: Any = ADA) -> str:
    return str(key.signed_order(SignedOrder("yard", deployment, 3, what, 1, at)).decode())


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_hosts_see_each_other_and_their_reports_over_a_broker_that_forgets(kind: Kind) -> None:
    version = "3.1.1" if kind == "amqtt" else "auto"
    async with (
        open_broker(kind=kind) as broker,
        viewing(broker, "one", version=version) as one,
        viewing(broker, "two", version=version) as two,
    ):
        await one.report(report("one", RolloutState.SOAKING))
        await two.report(report("two", RolloutState.WAITING, "its wave"))
        for view in (one, two):
            await until(view, functools.partial(_sees_two, view))
            assert view.members()["one"] == {"site": "north", "class": "pi4"}
            assert {each.host: each.state for each in view.reports("spring")} == {
                "one": RolloutState.SOAKING,
                "two": RolloutState.WAITING,
            }
        await broker.stop(kill=True)
        await until(one, lambda: not one.connected)
        assert len(one.reports("spring")) == 2  # what was seen last stays
        await one.report(report("one", RolloutState.SUCCESSFUL))
        await broker.start()
        await until(two, lambda: RolloutState.SUCCESSFUL in {each.state for each in two.reports("spring")})
        if kind == "amqtt":
            return  # it does not always pass an empty message on
        one.withdraw("spring")
        await until(two, lambda: len(two.reports("spring")) == 1)


async def test_the_newest_order_holds_whose_signature_does() -> None:
    memory = Remembered()
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        topic = FLEET.order("spring")
        async with viewing(broker, "one", memory=memory) as view:
            await until(view, lambda: view.connected)
            for refused in (
                order(RolloutOrder.ABORT, 50.0, key=BOB),
                order(RolloutOrder.ABORT, 50.0, key=new_key()[1]),
                order(RolloutOrder.ABORT, 50.0, deployment="summer"),
                '{"status":"init","sequence":3,"order":"abort","issued_at":50}',
                "nonsense",
            ):
                await tools.publish(topic, refused)
            await tools.publish(topic, order(RolloutOrder.APPROVE, 10.0))
            await until(view, lambda: view.command("spring") is not None)
            await tools.publish(topic, order(RolloutOrder.HALT, 20.0))
            await until(view, lambda: _order(view) is RolloutOrder.HALT)
            found = view.command("spring")
            assert found is not None
            assert (found.by, found.sequence, found.wave) == (f"ada ({ADA.key_id[:8]})", 3, 1)
            await tools.publish(topic, order(RolloutOrder.APPROVE, 10.0))  # replayed
            await tools.publish(topic)
            await tools.publish(FLEET.order("summer"), order(RolloutOrder.RESUME, 1.0, deployment="summer"))
            await until(view, lambda: view.command("summer") is not None)
            assert _order(view) is RolloutOrder.HALT
        await tools.publish(topic, order(RolloutOrder.APPROVE, 10.0))
        async with viewing(broker, "one", memory=memory) as view:  # after a restart
            await until(view, lambda: view.command("summer") is not None)
            assert view.command("spring") is None
            await tools.publish(topic, order(RolloutOrder.HALT, 20.0))
            await until(view, lambda: _order(view) is RolloutOrder.HALT)


async def test_an_order_from_the_future_cannot_be_the_last_one() -> None:
    async with open_broker(kind="mosquitto") as broker, viewing(broker, "one") as view:
        view.orders.time = lambda: HostTime(100.0)
        await until(view, lambda: view.connected)
        await Tools(broker).publish(FLEET.order("spring"), order(RolloutOrder.ABORT, 9e9))
        await Tools(broker).publish(FLEET.order("spring"), order(RolloutOrder.HALT, 130.0))
        await until(view, lambda: view.command("spring") is not None)
        assert _order(view) is RolloutOrder.HALT


async def test_on_a_trusted_broker_orders_are_plain() -> None:
    async with open_broker(kind="mosquitto") as broker, viewing(broker, "one", keys=None) as view:
        plain = {"status": "init", "sequence": 3, "order": "halt", "issued_at": 5}
        await Tools(broker).publish(FLEET.order("spring"), plain)
        await until(view, lambda: _order(view) is RolloutOrder.HALT)


async def test_what_is_no_registration_or_report_is_passed_over() -> None:
    async with open_broker(kind="mosquitto") as broker, viewing(broker, "one") as view:
        tools = Tools(broker)
        for topic in ("bad", "bad/twin/deployment/spring", "BAD", "bad/twin/deployment/Up/x"):
            await tools.publish(f"edgehost/yard/{topic}", "[1]")
        await tools.publish("edgehost/yard/good", {"labels": {}, "class": "pi4"})
        await until(view, lambda: "good" in view.members())
        assert set(view.members()) <= {"one", "good"}
        assert view.reports("spring") == ()


def test_a_broker_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    memory = Remembered()
    link = MqttFleet.__new__(MqttFleet)  # nothing is sent
    view = MqttFleetView(FLEET, "one", {}, link, None, memory.newest, memory.note)
    for number in range(10_000):
        view.take(f"edgehost/yard/h{number}", b"nonsense")
    assert len(caplog.records) == 21
    assert "it is not told" in caplog.records[-1].message
    view.link_moved()
    view.take("edgehost/yard/again", b"nonsense")
    assert "again" in caplog.records[-1].message


def _sees_two(view: MqttFleetView) -> bool:
    return len(view.reports("spring")) == 2 and len(view.members()) == 2


def _order(view: MqttFleetView) -> RolloutOrder | None:
    command = view.command("spring")
    return None if command is None else command.order
