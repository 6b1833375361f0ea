"""A device behind a host, shown to the fleet and commanded from it by mosquitto_pub alone."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.cli.main import main
from edgehost.config import Config
from remotes.keys import generate_key
from tests.adapters.fleet.fleet_scene import ROOT, Heard, Tools, fleet_host
from tests.bridge.device_scene import BLINK, UID, Workshop, blink, pty_device, publish
from tests.journeys.fleet import Fleet
from tests.journeys.test_deployments import deploy, state
from tests.journeys.test_device_bridge import lamp, online

FLEET = '[fleet]\nname = "yard"\nhost = "127.0.0.1"\ntcp_port = {port}\nmeasure_s = 60\ncommands = "{mode}"\n'


def config(fleet: Fleet, broker: EmbeddedBroker, line: str) -> Config:
    return fleet.config(more=lamp(line) + FLEET.format(port=broker.tcp_port, mode="trusted-broker"))


async def outcome(tools: Tools, heard: Heard, what: str, **arguments: Any) -> Any:
    topic = f"{ROOT}/cmd/{what}"
    await tools.publish(topic, {"status": "init", "arguments": {"device": "lamp", **arguments}})
    return await heard.final(topic)


async def test_a_device_is_shown_and_commanded_from_the_fleet(tmp_path: Path) -> None:
    folder = tmp_path / "workshop"
    folder.mkdir()
    fleet, workshop = Fleet(tmp_path), Workshop(folder)
    await publish(fleet, BLINK, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with open_broker(kind="mosquitto") as broker:
            tools = Tools(broker)
            async with tools.heard() as heard, fleet.host(config(fleet, broker, board.path)) as host:
                twin = await heard.until(
                    f"{ROOT}/twin/devices", lambda twin: twin["lamp"]["state"] == "online"
                )
                assert (await tools.retained())[ROOT]["devices"] == ["lamp"]
                found = twin["lamp"]
                assert (found["board"], found["uid"]) == ("posix", UID.hex())
                assert found["budgets"]["slot_bytes"] > 0
                assert "component" not in found
                await online(host)

                done = await outcome(tools, heard, "deploy/d1", component="device-blink")
                assert done["status"] == "successful", done
                assert done["result"]["version"] == "1.0.0"
                shown = f"{ROOT}/twin/devices"
                async with tools.heard(shown) as newest:  # it may have been shown before the outcome was
                    await newest.until(shown, lambda twin: twin["lamp"].get("version") == "1.0.0")
                again = await outcome(tools, heard, "deploy/d2", component="device-blink")
                assert (again["status"], again["result"]["version"]) == ("successful", "1.0.0")

                call = await outcome(
                    tools, heard, "call/c1", component="device-blink", function="set", payload={"on": True}
                )
                assert call["result"] == {"json": {"on": True}}

                await publish(fleet, blink("1.1.0"), workshop.signing)
                await outcome(tools, heard, "deploy/d3", component="device-blink", version="1.1.0")
                back = await outcome(tools, heard, "rollback/r1")
                assert (back["status"], back["result"]["version"]) == ("successful", "1.0.0")

                logs = await outcome(tools, heard, "logs/l1", lines=5)
                assert len(logs["result"]["lines"]) <= 5
                assert (await outcome(tools, heard, "restart/s1"))["result"] == {"restarted": "lamp"}
                wrong = await outcome(tools, heard, "restart/s2", component="device-blink")
                assert "component" in wrong["reason"]
                missing = await outcome(tools, heard, "logs/l2", device="lump")
                assert "lump" in missing["reason"]

                assert host.live_version("device-blink") == ""  # it follows '*', and this is for devices

                board.cut_power()
                lost = await heard.until(
                    f"{ROOT}/twin/devices", lambda twin: twin["lamp"]["state"] == "offline"
                )
                assert lost["lamp"]["reason"]
                assert lost["lamp"]["version"] == "1.0.0"  # what it ran when it was heard last


async def test_an_operator_of_one_component_commands_the_devices_that_run_it(tmp_path: Path) -> None:
    folder = tmp_path / "workshop"
    folder.mkdir()
    fleet, workshop = Fleet(tmp_path), Workshop(folder)
    await publish(fleet, BLINK, workshop.signing)
    generate_key(tmp_path / "ada.key")
    grants = '[[fleet.operators]]\nname = "ada"\nkey = "ada.pub"\nmay = ["*"]\ncomponents = ["{allowed}"]\n'
    with pty_device(workshop, tmp_path / "flash") as board:
        async with open_broker(kind="mosquitto") as broker:
            table = lamp(board.path) + FLEET.format(port=broker.tcp_port, mode="signed")

            async def told(*words: str) -> tuple[int, str]:
                access = ("--broker", f"127.0.0.1:{broker.tcp_port}", "--fleet", "yard", "--all")
                key = ("--key", str(tmp_path / "ada.key"))
                with StringIO() as out, redirect_stdout(out), redirect_stderr(out):
                    code = await asyncio.to_thread(main, ["fleet", words[0], *access, *key, *words[1:]])
                    return code, out.getvalue()

            async with fleet.host(fleet.config(more=table + grants.format(allowed="device-blink"))) as host:
                await online(host)
                await host.in_its_fleet()
                code, said = await told("deploy", "device-blink", "--device", "lamp")
                assert (code, "lamp device-blink 1.0.0" in said) == (0, True), said
                code, said = await told("call", "device-blink", "set", '{"on": true}', "--device", "lamp")
                assert (code, '{"on": true}' in said) == (0, True), said
                code, said = await told("deploy", "other", "--device", "lamp")
                assert (code, "may not command the whole host" in said) == (1, True), said
                assert (await told("rollback"))[0] == 2
                assert (await told("logs", "--device", "lamp"))[0] == 0
            async with fleet.host(fleet.config(more=table + grants.format(allowed="telemetry"))) as host:
                await online(host)
                await host.in_its_fleet()
                for words in (("restart",), ("rollback",), ("logs",), ("deploy", "device-blink")):
                    code, said = await told(*words, "--device", "lamp")
                    assert (code, "may not command 'device-blink'" in said) == (1, True), said


async def test_a_device_that_another_host_of_the_fleet_shows_is_left_to_that_host(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with open_broker(kind="mosquitto") as broker, fleet_host(fleet, broker) as host:
        await deploy(fleet, {"name": "site", "firmware": {"lamp": "device-blink@^1"}})
        await host.until(lambda: state(host) == "applying 1")
        other = {"@type": "host", "id": "other", "class": "generic", "labels": {}, "devices": ["lamp"]}
        await Tools(broker).publish("edgehost/yard/other", other)
        await host.until(lambda: state(host) == "successful 1")
