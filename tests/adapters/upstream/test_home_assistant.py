"""Home Assistant's device discovery against brokers, by mosquitto_pub and mosquitto_sub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import Kind, open_broker
from edgehost.adapters.upstream.client_id import client_id
from edgehost.adapters.upstream.discovery import (
    Components,
    Discovery,
    HomeTopics,
    known_components,
    merged,
)
from edgehost.domain.device_events import DeviceRestarted
from edgehost.domain.json_text import read_json
from edgehost.domain.upstream_node import HOST, UpstreamNode, figures_of
from tests.adapters.fleet.fleet_scene import Tools
from tests.adapters.upstream.upstream_scene import (
    HOST_NODE,
    KINDS,
    LAMP_NODE,
    Presses,
    broken,
    forgotten,
    home,
)

TOPICS = HomeTopics("homeassistant", "edgehost/upstream", "journey")
LAMP, STATE = TOPICS.config("lamp"), TOPICS.of("lamp", "state")
STATUS, LAMP_STATUS = TOPICS.of(HOST, "status"), TOPICS.of("lamp", "status")
BROKERS: list[tuple[Kind, str]] = [("mosquitto", "auto"), ("mosquitto", "3.1.1"), ("amqtt", "3.1.1")]


def entities(*, buttons: bool = False, node: UpstreamNode = LAMP_NODE) -> dict[str, Any]:
    discovery = Discovery(TOPICS, "0.1.0", KINDS, buttons=buttons, events=True)
    document = read_json(discovery.message(node, discovery.components(node)))
    components: dict[str, Any] = document["components"]
    return components


def test_each_figure_is_an_entity_with_what_is_known_of_it() -> None:
    found = entities()
    level = found["number_component-level"]
    assert level["platform"] == "sensor"
    assert level["name"] == "Level"
    assert (level["unit_of_measurement"], level["device_class"]) == ("%", "humidity")
    assert level["value_template"] == "{{ value_json.figures.get('component.level') }}"
    assert [each["topic"] for each in level["availability"]] == [STATUS, LAMP_STATUS]
    assert found["flag_component-on"]["platform"] == "binary_sensor"
    assert "state_class" not in found["text_component-mood"]
    assert found["number_up_ms"]["entity_category"] == "diagnostic"
    assert [each["topic"] for each in found["connectivity"]["availability"]] == [STATUS]
    assert not any(key.startswith("press") for key in found)
    assert {key for key in entities(buttons=True) if key.startswith("press")} == {
        "press_restart",
        "press_rollback",
    }


def test_a_host_says_itself_that_it_is_there_and_has_an_update_entity_for_each_component() -> None:
    found = entities(node=HOST_NODE, buttons=True)
    assert "availability" not in found["connectivity"]
    assert found["version_telemetry"]["platform"] == "update"
    assert found["event"]["json_attributes_topic"] == TOPICS.of(HOST, "event")
    assert {key for key in found if key.startswith("press")} == {"press_restart"}
    ids = [each["unique_id"] for each in found.values()]
    assert len(set(ids)) == len(ids)


def test_names_that_a_device_makes_up_reach_no_template() -> None:
    told = {"'] }}{% set x %}": 1, "a/b": 2, "ok": 3, "in": {"x') }}": 1, "y": 2.5}, "nan": float("nan")}
    assert figures_of(told) == {"ok": 3, "in.y": 2.5}
    many = figures_of({f"f{number}": number for number in range(1000)})
    assert len(many) == 64
    assert figures_of({"deep": {"a": {"b": {"c": {"d": 1}}}}}) == {}


def test_what_went_is_named_once_more_and_what_is_not_told_yet_stays() -> None:
    before: Components = {
        "connectivity": {"platform": "binary_sensor", "name": "Connection"},
        "number_old": {"platform": "sensor", "name": "old"},
        "press_restart": {"platform": "button", "name": "Restart"},
    }
    current: Components = {"connectivity": {"platform": "binary_sensor", "name": "Connection"}}
    once, stays = merged(current, before, told=False)
    assert once["press_restart"] == {"platform": "button"}
    assert once["number_old"] == before["number_old"] == stays["number_old"]
    once, stays = merged(current, before, told=True)
    assert once["number_old"] == {"platform": "sensor"}
    assert stays == current


@pytest.mark.parametrize(
    "message",
    [b"", b"[]", b"{", b'{"components": 3}', b'{"components": {"a": 3, "b/c": {"platform": "sensor"}}}'],
)
def test_what_somebody_else_left_at_our_topic_is_no_component(message: bytes) -> None:
    assert known_components(message) == {}


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_devices_are_discovered_shown_and_seen_off(kind: Kind, version: str) -> None:
    async with open_broker(kind=kind) as broker:
        tools = Tools(broker)
        async with tools.heard("#") as heard, home(broker, HOST_NODE, LAMP_NODE, version=version) as upstream:
            config = await heard.until(LAMP)
            assert config["device"]["name"] == "journey lamp"
            assert (await heard.until(STATE))["figures"]["component.on"] is True
            assert (await heard.until(LAMP_STATUS)) == b"online"
            upstream.show(replace(LAMP_NODE, online=False))
            assert (await heard.until(LAMP_STATUS)) == b"offline"
            fewer = replace(LAMP_NODE, figures={"up_ms": 6})
            upstream.show(fewer)
            gone = await heard.until(LAMP)
            assert gone["components"]["number_component-level"] == {"platform": "sensor"}
            after = await heard.until(LAMP)
            assert "number_component-level" not in after["components"]
        assert (await tools.retained(STATUS))[STATUS] == b"offline"


async def test_a_device_that_is_no_longer_configured_is_taken_away() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard("#") as heard:
            async with home(broker, HOST_NODE, LAMP_NODE):
                await heard.until(LAMP_STATUS)
            await tools.publish("homeassistant/device/other/config", {"components": {}})
            async with home(broker, HOST_NODE):
                assert (await heard.until(LAMP)) is None
                await heard.until(LAMP_STATUS, lambda word: word is None)
        left = await tools.retained("#")
        assert set(left) == {
            TOPICS.config(HOST),
            TOPICS.of(HOST, "state"),
            STATUS,
            "homeassistant/device/other/config",
        }


async def test_a_broker_that_remembers_is_told_only_what_has_changed() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard("#") as heard, home(broker, HOST_NODE, LAMP_NODE):
            await heard.until(LAMP_STATUS)
        async with tools.heard("homeassistant/device/+/config") as heard:
            await heard.until(LAMP)
            not_yet = replace(LAMP_NODE, told=False, figures={})
            async with home(broker, HOST_NODE, not_yet) as upstream:
                # What it had before is left alone until it has told what it has now.
                upstream.show(replace(LAMP_NODE, title="lamp of the journey"))
                config = await heard.until(LAMP)
                assert config["device"]["name"] == "lamp of the journey"
                assert "number_component-level" in config["components"]


async def test_a_broker_that_forgot_everything_is_told_everything_again() -> None:
    async with open_broker(kind="mosquitto") as broker, home(broker, HOST_NODE, LAMP_NODE):
        async with Tools(broker).heard("#") as heard:
            await heard.until(LAMP_STATUS)
        await broker.stop(kill=True)
        await broker.start()
        async with Tools(broker).heard("#") as heard:
            await heard.until(LAMP_STATUS)
            kept = await Tools(broker).retained("#")
            assert LAMP in kept
            assert kept[STATUS] == b"online"


async def test_home_assistants_birth_has_everything_said_again() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with home(broker, HOST_NODE, LAMP_NODE):
            async with tools.heard("#") as heard:
                await heard.until(LAMP_STATUS)
            async with tools.heard("#") as heard:
                heard.early.clear()  # as retained
                await tools.publish("homeassistant/status", "offline", retain=False)
                await tools.publish("homeassistant/status", "online", retain=False)
                await heard.until("homeassistant/status", lambda word: word == b"online")
                await heard.until(LAMP)
                await heard.until(STATE)


async def test_a_line_that_breaks_is_told_by_the_broker() -> None:
    async with (
        open_broker(kind="mosquitto") as broker,
        Tools(broker).heard(STATUS) as heard,
        home(broker, HOST_NODE) as upstream,
    ):
        assert (await heard.until(STATUS)) == b"online"
        broken(await upstream._keeper.link())
        assert (await heard.until(STATUS)) == b"offline"
        assert (await heard.until(STATUS)) == b"online"


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
async def test_the_will_of_before_a_loss_of_power_is_not_believed_of_the_host_that_is_back(
    version: str,
) -> None:
    async with open_broker(kind="mosquitto") as broker:
        name = client_id(TOPICS.own)
        async with (
            forgotten(broker, name, STATUS, b"offline", retain=True),
            Tools(broker).heard(STATUS) as heard,
            home(broker, HOST_NODE, version=version),
        ):
            assert (await heard.until(STATUS, lambda word: word != b"listens")) == b"offline"
            assert (await heard.until(STATUS)) == b"online"


async def test_only_known_buttons_that_are_not_retained_are_pressed() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools, presses = Tools(broker), Presses()
        host, lamp = TOPICS.of(HOST, "press"), TOPICS.of("lamp", "press")
        await tools.publish(lamp, "restart")  # from before we came
        async with (
            tools.heard("#") as heard,
            home(broker, HOST_NODE, LAMP_NODE, buttons=True, pressed=presses),
        ):
            await heard.until(LAMP_STATUS)
            for topic, word in (
                (host, "rollback"),
                (TOPICS.of("other", "press"), "restart"),
                (lamp, "explode"),
                (lamp, "x" * 5000),
                (lamp, "rollback"),
                (host, "restart"),
            ):
                await tools.publish(topic, word, retain=False)
            while len(presses.all) < 2:
                presses.came.clear()
                await presses.came.wait()
            assert presses.all == [("lamp", "rollback"), (HOST, "restart")]


async def test_without_buttons_nothing_is_pressed_and_the_last_event_is_shown() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools, presses = Tools(broker), Presses()
        async with (
            tools.heard("#") as heard,
            home(broker, HOST_NODE, LAMP_NODE, events=True, pressed=presses) as upstream,
        ):
            await heard.until(LAMP_STATUS)
            await tools.publish(TOPICS.of("lamp", "press"), "restart", retain=False)
            upstream.tell(DeviceRestarted(at=3.0, device="lamp"))
            event = await heard.until(TOPICS.of(HOST, "event"))
            assert event == {"type": "edgehost.device.restarted", "subject": "lamp", "at": 3.0}
            assert presses.all == []
