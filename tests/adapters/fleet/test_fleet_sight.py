"""When a host may trust what it sees of the others, and what it forgets of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.adapters.fleet.fleet_view import MqttFleetView
from edgehost.adapters.fleet.mqtt_fleet import MqttFleet
from edgehost.domain.rollout_report import RolloutState
from tests.adapters.fleet.test_fleet_view import FLEET, Remembered, report, until, viewing

MANY = 200
BROKERS: list[tuple[Kind, str]] = [("mosquitto", "5"), ("mosquitto", "3.1.1"), ("amqtt", "3.1.1")]


@dataclass
class Link:
    """A FleetLink that is up and keeps to itself."""

    connected: bool = True
    kept: dict[str, bytes | None] = field(default_factory=dict)

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        self.kept[topic] = payload

    def put(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        raise NotImplementedError

    def tell(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        raise NotImplementedError

    def ask_again(self) -> None:
        raise NotImplementedError


def view_of(link: Link) -> MqttFleetView:
    memory = Remembered()
    return MqttFleetView(FLEET, "one", {"class": "pi4"}, link, None, memory.newest, memory.note)


def shows(view: MqttFleetView, topic: str, document: dict[str, Any] | None = None) -> None:
    payload = b"" if document is None else json.dumps(document).encode()
    view.take(f"edgehost/yard/{topic}", payload)


async def registered(broker: EmbeddedBroker, hosts: int) -> None:
    async with aiomqtt.Client("127.0.0.1", broker.tcp_port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        for number in range(hosts):
            document = json.dumps({"class": "pi4", "labels": {"site": "north"}})
            await client.publish(f"edgehost/yard/pi-{number}", document, qos=1, retain=True)


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_a_host_trusts_what_it_sees_when_all_that_is_retained_has_come(
    kind: Kind, version: str
) -> None:
    async with open_broker(kind=kind) as broker:
        await registered(broker, MANY)
        async with viewing(broker, "one", version=version) as view:
            seen: list[int] = []

            def came(lost: bool) -> None:
                seen.append(len(view.members()))
                view.all_came(lost)

            assert isinstance(view.link, MqttFleet)
            view.link.handlers.current = came
            assert not view.connected
            await until(view, lambda: view.connected)
            assert seen == [MANY + 1]


async def test_a_broker_that_lost_everything_is_believed_by_who_knew_others_and_later_by_who_did_not() -> (
    None
):
    async with open_broker(kind="mosquitto") as broker, viewing(broker, "one") as one:
        async with viewing(broker, "two") as two:
            two.settle_s = 0
            await until(one, lambda: one.connected and "two" in one.members())
        one.settle_s = 3600
        await broker.stop(kill=True)
        await until(one, lambda: not one.connected)
        await broker.start()
        await until(one, lambda: one.connected)
        assert "two" in one.members()
        async with viewing(broker, "three") as three:
            three.settle_s = 3600
            await until(three, lambda: "one" in three.members())
            assert not three.connected


async def test_who_says_goodbye_is_away_until_it_comes_back() -> None:
    async with open_broker(kind="mosquitto") as broker, viewing(broker, "one") as one:
        for _ in range(2):
            async with viewing(broker, "two"):
                await until(one, lambda: "two" in one.members() and not one.away())
            await until(one, lambda: one.away() == {"two"})


async def test_who_was_taken_away_while_the_link_was_down_is_forgotten_unless_the_broker_forgot_all() -> None:
    link = Link()
    view = view_of(link)
    for lost in (True, False):
        for host in ("two", "three"):
            shows(view, host, {"class": "pi4", "labels": {}})
            shows(view, f"{host}/status", {"status": "offline"})
            view.take(
                f"edgehost/yard/{host}/twin/deployment/spring",
                b'{"sequence":3,"digest":"d","wave":0,"state":"soaking","since":1}',
            )
        view.link_moved()
        view.link_moved()
        shows(view, "two", {"class": "pi4", "labels": {}})
        shows(view, "two/status", {"status": "online"})
        view.all_came(lost)
        assert view.connected
        assert set(view.members()) == ({"one", "two", "three"} if lost else {"one", "two"})
        assert view.away() == ({"three"} if lost else set())
        assert len(view.reports("spring")) == (2 if lost else 0)


async def test_a_report_of_an_earlier_run_is_known_and_can_be_taken_away() -> None:
    link = Link()
    view = view_of(link)
    shows(view, "one/twin/deployment/spring", {"anything": 1})
    assert view.shown() == {"spring"}
    await view.report(report("one", RolloutState.SOAKING))
    view.withdraw("spring")
    assert view.shown() == set()
    assert link.kept == {"edgehost/yard/one/twin/deployment/spring": None}


async def test_a_host_knows_which_others_bridge_a_device_for_as_long_as_they_are_registered() -> None:
    view = view_of(Link())
    for host, devices in (("two", ["lamp", "heater"]), ("three", ["lamp"])):
        shows(view, host, {"class": "pi4", "labels": {}, "devices": devices})
    assert set(view.bridging("lamp")) == {"two", "three"}
    assert set(view.bridging("heater")) == {"two"}
    shows(view, "three", {"class": "pi4", "labels": {}})
    assert set(view.bridging("lamp")) == {"two"}
    shows(view, "four", {"class": "pi4", "labels": {}, "devices": "lamp"})  # no list: it is passed over
    assert "four" not in view.members()
    view.link_moved()
    shows(view, "three", {"class": "pi4", "labels": {}, "devices": ["pump"]})
    view.all_came(False)
    assert (set(view.bridging("lamp")), set(view.bridging("pump"))) == (set(), {"three"})
    shows(view, "three")
    assert set(view.bridging("pump")) == set()
