"""A host with a device behind it, in Home Assistant and in Sparkplug B, by mosquitto and its clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from tests.adapters.fleet.fleet_scene import Tools
from tests.adapters.upstream.upstream_scene import plant_heard
from tests.bridge.device_scene import BLINK, Workshop, pty_device, publish
from tests.journeys.fleet import Fleet
from tests.journeys.test_device_bridge import deploy, lamp, online

HOST = "homeassistant/device/edgehost_journey/config"
LAMP = "homeassistant/device/edgehost_journey_lamp/config"
STATE = "edgehost/upstream/journey/device/lamp/state"
STATUS = "edgehost/upstream/journey/device/lamp/status"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


def home(tcp_port: int, more: str = "") -> str:
    return (
        f'[upstream.home]\nkind = "home-assistant"\nhost = "127.0.0.1"\ntcp_port = {tcp_port}\n'
        f"interval_s = 0.2\nmeasure_s = 1\n{more}"
    )


async def test_a_bridged_device_is_a_device_of_home_assistant(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, BLINK, workshop.signing)
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        with pty_device(workshop, tmp_path / "flash") as board:
            more = "buttons = true\n"
            async with (
                tools.heard("#") as heard,
                fleet.host(fleet.config(more=lamp(board.path) + home(broker.tcp_port, more))) as host,
            ):
                config = await heard.until(HOST, lambda config: "number_uptime_s" in config["components"])
                assert config["device"]["identifiers"] == ["edgehost_journey"]
                assert config["origin"]["name"] == "edgehost"
                config = await heard.until(LAMP, lambda config: "number_heap" in config["components"])
                assert config["device"]["via_device"] == "edgehost_journey"
                assert config["device"]["model"] == "posix"
                assert (await heard.until(STATUS)) == b"online"
                await online(host)
                await deploy(host)
                config = await heard.until(LAMP, lambda config: "flag_component-on" in config["components"])
                entity = config["components"]["version_device-blink"]
                assert entity["platform"] == "update"
                state = await heard.until(STATE, lambda state: state["versions"])
                assert state["versions"]["device-blink"] == {
                    "installed_version": "1.0.0",
                    "latest_version": "1.0.0",
                }
                await host.request("POST", "/api/host/devices/lamp/call/device-blink/set", {"on": True})
                await heard.until(STATE, lambda state: state["figures"].get("component.on") is True)

                press = config["components"]["press_restart"]
                await tools.publish(press["command_topic"], press["payload_press"], retain=False)
                bus = host.host.control.manager.bus
                await host.until(lambda: bus.last("edgehost.device.restarted", 1))
                board.cut_power()
                assert (await heard.until(STATUS)) == b"offline"
            assert (await heard_status(tools)) == b"offline"  # it stopped in order
        async with (
            tools.heard("homeassistant/#") as heard,
            fleet.host(fleet.config(more=home(broker.tcp_port))),
        ):
            await heard.until(LAMP, lambda config: config is None)
        kept = await tools.retained("#")
        assert LAMP not in kept
        assert STATE not in kept
        assert HOST in kept


async def test_a_bridged_device_is_a_device_of_sparkplug(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    async with open_broker(kind="mosquitto") as broker, plant_heard(broker) as heard:
        with pty_device(workshop, tmp_path / "flash") as board:
            more = home(broker.tcp_port, 'group = "yard"\n').replace("home-assistant", "sparkplug")
            async with fleet.host(fleet.config(more=lamp(board.path) + more)):
                birth = await heard.until("NBIRTH")
                assert birth.values["uptime_s"] > 0
                device = await heard.until("DBIRTH", lambda each: "up_ms" in each.values)
                assert device.device == "lamp"
                assert device.values["Properties/Model"] == "posix"
                assert (await heard.until("DDATA")).values["up_ms"] > device.values["up_ms"]
                board.cut_power()
                assert (await heard.until("DDEATH")).device == "lamp"
                board.start()
                assert (await heard.until("DBIRTH")).device == "lamp"
        assert (await heard.until("NDEATH")).bd_seq == birth.bd_seq


async def heard_status(tools: Tools) -> object:
    return (await tools.retained("edgehost/upstream/#"))["edgehost/upstream/journey/host/status"]
