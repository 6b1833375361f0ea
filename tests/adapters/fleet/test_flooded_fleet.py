"""A broker that retains thousands of messages below a host's name which are not the host's."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.adapters.fleet import mqtt_fleet
from edgehost.composition.fleet_findings import fleet_findings
from tests.adapters.fleet.fleet_scene import ROOT
from tests.adapters.fleet.test_mqtt_fleet import linked

FLOOD = 3000


async def flooded(broker: EmbeddedBroker, below: str, *, messages: int = FLOOD, qos: int = 0) -> None:
    """Retained, and taken by the broker: the last one is answered."""
    async with aiomqtt.Client("127.0.0.1", broker.tcp_port) as client:
        for number in range(messages):
            await client.publish(f"{ROOT}/{below}/x{number}", b"{}", qos=qos, retain=True)
        await client.publish(f"{ROOT}/cmd/logs/wanted", b'{"status":"init"}', qos=1, retain=True)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("below", ["cmd/deploy", "cmd/explode", "twin"])
async def test_a_host_finds_its_commands_in_a_flood_and_speaks(below: str, version: str) -> None:
    async with open_broker(
        kind="mosquitto", extra_config="allow_anonymous true\nmax_queued_messages 0"
    ) as broker:
        await flooded(broker, below)
        async with linked(broker, version=version) as (link, seen):
            await seen.until(lambda: bool(seen.settled))
            assert link.trouble == ""
            assert f"{ROOT}/cmd/logs/wanted" in {topic for topic, _ in seen.commands}
            assert link.shown == FLOOD + 1
            (flood,) = [each for each in fleet_findings(link, None) if each["check"] == "fleet topics"]
            assert f"{FLOOD + 1} messages below {ROOT}/#" in flood["detail"]


async def test_a_flood_that_the_broker_itself_cannot_queue_keeps_no_host_from_its_fleet() -> None:
    async with open_broker(
        kind="mosquitto", extra_config="allow_anonymous true\nmax_queued_messages 50"
    ) as broker:
        await flooded(broker, "cmd/deploy", messages=500, qos=1)
        async with linked(broker) as (link, seen):
            await seen.until(lambda: bool(seen.settled))
            assert link.trouble == ""


async def test_a_host_alone_with_its_topics_is_told_of_no_flood() -> None:
    async with open_broker(kind="mosquitto") as broker, linked(broker) as (link, seen):
        await seen.until(lambda: bool(seen.settled))
        assert [each["check"] for each in fleet_findings(link, None)] == ["fleet"]


async def test_a_broker_is_waited_for_as_long_as_it_shows_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_broker(kind="mosquitto") as broker, linked(broker) as (link, seen):
        await seen.until(lambda: bool(seen.settled))
        monkeypatch.setattr(mqtt_fleet, "_SETTLE_S", 0)
        link._is_settled.clear()
        asyncio.get_running_loop().call_soon(lambda: setattr(link, "shown", link.shown + 1))
        assert not await link._is_settled_soon()
        with pytest.raises(aiomqtt.MqttError, match="does not bring back"):
            await link._is_settled_soon()
        link._is_settled.set()
        assert await link._is_settled_soon()
