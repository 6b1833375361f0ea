"""The real process in a fleet: killed at every state, restarted, reconfigured and given bundles, all over MQTT."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.adapters.fleet.command_signing import OperatorKey, new_command
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.fleet_command import Operation
from remotes.bundle_making import Read, make_bundle
from remotes.keys import generate_key, load_signer
from tests.adapters.fleet.fleet_scene import ROOT, Heard, Tools
from tests.journeys.fleet import Fleet, telemetry

TABLE = '[fleet]\nname = "yard"\nhost = "127.0.0.1"\ntcp_port = {port}\n{commands}\n'
HOST = """
[host]
name = "journey"
config_trial_s = 0.5
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
transport = "folder"
path = "mirror"
root = "root.json"
"""
TRUSTED = 'commands = "trusted-broker"'
SIGNED = 'commands = "signed"\n[[fleet.operators]]\nkey = "ada.pub"\nmay = ["*"]\nname = "ada"'


def text_of(broker: EmbeddedBroker, commands: str = TRUSTED, more: str = "") -> str:
    table = TABLE.format(port=broker.tcp_port, commands=commands)
    return HOST + more + table


@asynccontextmanager
async def process(folder: Path, text: str) -> AsyncIterator[DemoHost]:
    (folder / "edgehost.toml").write_text(text)
    host = DemoHost(folder / "edgehost.toml", folder / "data" / "edgehost.sock")
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


async def order(tools: Tools, heard: Heard, operation: str, command_id: str, **arguments: Any) -> Any:
    topic = f"{ROOT}/cmd/{operation}/{command_id}"
    await tools.publish(topic, {"status": "init", "arguments": arguments})
    return await heard.final(topic)


async def test_the_host_starts_again_by_command_and_says_so_when_it_is_back(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard() as heard, process(tmp_path, text_of(broker)) as host:
            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
            boot = (await tools.retained())[f"{ROOT}/status"]["boot"]
            outcome = await order(tools, heard, "restart", "r1")
            assert (outcome["status"], outcome["result"]) == ("successful", {"restarted": "host"})
            assert outcome["boot"] != boot
            assert (await order(tools, heard, "restart", "r2", component="telemetry"))[
                "status"
            ] == "successful"
            assert (await host.get("/api/host/status"))["pid"] == host.pid


@pytest.mark.parametrize(("kind", "version"), [("mosquitto", "5"), ("mosquitto", "3.1.1"), ("amqtt", "auto")])
async def test_every_command_ends_when_the_host_is_killed_in_its_midst(
    tmp_path: Path, kind: Kind, version: str
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with open_broker(kind=kind) as broker:
        tools = Tools(broker)
        text = text_of(broker, f'{TRUSTED}\nmqtt_version = "{version}"')
        async with tools.heard() as heard, process(tmp_path, text) as host:
            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
            await fleet.publish(telemetry("1.0.1"))
            for number, state in enumerate(("init", "executing")):
                topic = f"{ROOT}/cmd/deploy/k{number}"
                arguments = {"component": "telemetry", "version": f"1.0.{number}"}
                if state == "init":  # given while the host is away
                    await host.kill()
                await tools.publish(topic, {"status": "init", "arguments": arguments})
                if state == "executing":
                    await heard.until(
                        topic, lambda found: found["status"] != "init"
                    )  # it may be done as quickly
                    await host.kill()
                await host.start()
                outcome = await heard.final(topic)
                assert outcome["status"] == "successful", outcome
                assert outcome["result"]["version"] == f"1.0.{number}"
            shown = f"{ROOT}/twin/components"
            async with tools.heard(shown) as newest:  # it may have been shown before the outcome was
                await newest.until(shown, lambda twin: twin["telemetry"]["version"] == "1.0.1")


async def test_a_configuration_comes_by_command_and_a_bad_one_goes_again(tmp_path: Path) -> None:
    Fleet(tmp_path)
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        good = text_of(broker, more="[keep]\nreleases = 7\n")
        async with tools.heard() as heard, process(tmp_path, text_of(broker)):
            await heard.until(f"{ROOT}/twin/config", lambda twin: twin.get("standing") == "good")
            outcome = await order(tools, heard, "config", "c1", text=good)
            assert (outcome["status"], outcome["result"]["standing"]) == ("successful", "good")
            outcome = await order(tools, heard, "config", "c2", show=True)
            assert outcome["result"]["text"] == good
            for bad, reason in (
                ("[host]\nnonsense = 1\n", "nonsense"),
                (text_of(broker).replace('name = "yard"', 'name = "moon"'), "out of its fleet"),
            ):
                outcome = await order(tools, heard, "config", f"bad-{len(bad)}", text=bad)
                assert (outcome["status"], reason in outcome["reason"]) == ("failed", True)
            gone = good.replace(f"tcp_port = {broker.tcp_port}", "tcp_port = 1")  # nobody there
            outcome = await order(tools, heard, "config", "c4", text=gone)
            assert (outcome["status"], "failed" in outcome["reason"]) == ("failed", True)
            outcome = await order(tools, heard, "config", "c5", show=True)
            assert outcome["result"]["text"] == good


async def test_a_signed_command_by_mosquitto_pub_is_obeyed_and_an_unsigned_one_is_not(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    _, key_id = generate_key(tmp_path / "ada.key")
    signer = load_signer(tmp_path / "ada.key")
    ada = OperatorKey(key_id, lambda content: bytes.fromhex(signer.sign(content).signature))
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard() as heard, process(tmp_path, text_of(broker, SIGNED)):
            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
            outcome = await order(tools, heard, "logs", "plain")
            assert (outcome["status"], "must be signed" in outcome["reason"]) == ("failed", True)
            now = time.time()  # noqa: TID251 - the operator's clock
            command = new_command(
                Operation.CALL,
                {"component": "telemetry", "function": "describe"},
                fleet="yard",
                audience=["*"],
                now=now,
                life_s=60,
            )
            (tmp_path / "command").write_bytes(ada.signed_command(command))
            topic = f"{ROOT}/cmd/call/{command.id}"
            await tools.publish(topic, file=tmp_path / "command")
            outcome = await heard.final(topic)
            assert outcome["by"] == key_id
            assert outcome["status"] == "failed"  # telemetry exports no such function
            assert "describe" in outcome["reason"]


async def test_a_signed_bundle_as_a_message_is_verified_and_applied(tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    for folder in (tmp_path, tmp_path / "stranger"):
        await Fleet(folder).publish(telemetry("1.0.0"))
        await make_bundle(_reader(folder / "mirror"), folder / "site.edgehost-bundle")
    (tmp_path / "junk").write_bytes(b"no bundle at all")
    async with open_broker(kind="mosquitto") as broker:
        text = text_of(broker).replace(
            'transport = "folder"\npath = "mirror"', 'transport = "stick"\npath = "media"\nlook_s = 0.2'
        )
        tools = Tools(broker)
        async with tools.heard(f"{ROOT}/cmd/#") as heard, process(tmp_path, text) as host:
            await heard.until(f"{ROOT}/cmd/bundle")
            await tools.publish(f"{ROOT}/bundle/b1", file=tmp_path / "site.edgehost-bundle")
            outcome = await heard.final(f"{ROOT}/cmd/bundle/b1", timeout_s=40)
            assert outcome["status"] == "successful", outcome
            (shown,) = (await host.get("/api/host/status"))["components"]
            assert (shown["component"], shown["version"]) == ("telemetry", "1.0.0")
            for name, file in (("forged", "stranger/site.edgehost-bundle"), ("junk", "junk")):
                await tools.publish(f"{ROOT}/bundle/{name}", file=tmp_path / file)
                outcome = await heard.final(f"{ROOT}/cmd/bundle/{name}", timeout_s=40)
                assert outcome["status"] == "failed", (name, outcome)
            assert f"{ROOT}/bundle/b1" not in await tools.retained()  # the broker need not keep it


def _reader(folder: Path) -> Read:
    async def read(path: str, most_bytes: int) -> bytes | None:
        file = folder / path
        return file.read_bytes() if file.is_file() and file.stat().st_size <= most_bytes else None

    return read
