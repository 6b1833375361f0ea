"""An operator's laptop: hosts are listed, chosen, commanded and followed over a broker; sleepers apply on wake."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.cli.demo_host import DemoHost
from edgehost.config import load_config
from remotes.keys import generate_key
from tests.adapters.fleet.fleet_scene import Tools
from tests.journeys.fleet import Fleet, RunningHost, telemetry

HOST = """
[host]
name = "{name}"
data = "{name}"
[host.labels]
site = "{site}"
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
transport = "folder"
path = "mirror"
root = "root.json"
follow = []
[fleet]
name = "yard"
host = "127.0.0.1"
tcp_port = {port}
measure_s = 1
commands = "signed"
[[fleet.operators]]
key = "ada.pub"
may = ["*"]
name = "ada"
[[fleet.operators]]
key = "bob.pub"
may = ["logs"]
name = "bob"
"""


@dataclass
class Laptop:
    """Runs 'edgehost fleet' as a process of its own."""

    folder: Path
    broker: EmbeddedBroker

    async def run(self, *words: str, code: int = 0, key: str = "ada.key") -> Any:
        """What it says to programs."""
        lines = [json.loads(line) for line in await self.said(*words, "--json", code=code, key=key)]
        return lines[0] if len(lines) == 1 else lines

    async def said(self, *words: str, code: int = 0, key: str = "ada.key") -> list[str]:
        """The lines of its output, or of its error when there are none."""
        (self.folder / "fleet.toml").write_text(
            f'broker = "127.0.0.1:{self.broker.tcp_port}"\nfleet = "yard"\nkey = "{key}"\n'
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgehost", "fleet", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"EDGEHOST_FLEET": str(self.folder / "fleet.toml"), "PATH": "/usr/bin"},
            cwd=self.folder,
        )
        out, err = await process.communicate()
        assert process.returncode == code, (words, out, err)
        return (out or err).decode().splitlines()


@asynccontextmanager
async def host(fleet: Fleet, broker: EmbeddedBroker, name: str, site: str) -> AsyncIterator[RunningHost]:
    file = fleet.folder / f"{name}.toml"
    file.write_text(HOST.format(name=name, site=site, port=broker.tcp_port))
    async with fleet.host(load_config(file)) as running:
        yield running


@pytest.fixture
async def yard(tmp_path: Path) -> Fleet:
    """A remote with two versions, and two operators' keys."""
    fleet = Fleet(tmp_path)
    for name in ("ada", "bob"):
        generate_key(tmp_path / f"{name}.key")
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
    return fleet


async def test_an_operator_lists_deploys_follows_and_asks(yard: Fleet) -> None:
    async with open_broker(kind="mosquitto") as broker, host(yard, broker, "one", "north") as one:
        laptop, tools = Laptop(yard.folder, broker), Tools(broker)
        async with tools.heard("edgehost/yard/+/status") as heard, host(yard, broker, "two", "south") as two:
            await heard.until("edgehost/yard/one/status")
            await heard.until("edgehost/yard/two/status")
            listed = await laptop.run("ls")
            assert [(each["host"], each["presence"], each["labels"]) for each in listed["hosts"]] == [
                ("one", "online", {"site": "north"}),
                ("two", "online", {"site": "south"}),
            ]
            (done,) = (await laptop.run("deploy", "telemetry@1.0.0", "--label", "site=north"))["commands"]
            assert (done["host"], done["state"], done["result"]["version"]) == ("one", "successful", "1.0.0")
            async with tools.heard(
                "edgehost/yard/one/twin/components"
            ) as twin:  # follows within half a second
                await twin.until("edgehost/yard/one/twin/components", lambda shown: "telemetry" in shown)
            done = await laptop.run("deploy", "telemetry@1.0.0", "--all", "--only-outdated")
            assert [each["host"] for each in done["commands"]] == ["two"]
            assert (one.live_version("telemetry"), two.live_version("telemetry")) == ("1.0.0", "1.0.0")
            (answer,) = (await laptop.run("call", "telemetry", "nothing", "--host", "one", code=1))[
                "commands"
            ]
            assert "nothing" in answer["reason"]
            (lines,) = (await laptop.run("logs", "telemetry", "--host", "two"))["commands"]
            assert isinstance(lines["result"]["lines"], list)
            (again,) = (await laptop.run("restart", "telemetry", "--host", "one"))["commands"]
            assert again["state"] == "successful"
            refused = await laptop.run("deploy", "telemetry@1.0.1", "--all", code=1, key="bob.key")
            assert all("bob" in each["reason"] for each in refused["commands"])
            assert not await tools.retained("edgehost/yard/+/cmd/+/+")  # cleared when read
            await laptop.run("deploy", "telemetry@1.0.1", code=2)  # which hosts?
            await laptop.run("logs", "--host", "three", code=5)
            assert "sign_reports = true" in (await laptop.run("keys", code=5))["error"]["hint"]
            assert await laptop.said("readmit", "--host", "two") == ["two: it was not set aside."]
            written = await laptop.run(
                "sign", "rollback", "--arguments", '{"component": "telemetry"}', "-o", "signed"
            )
            await tools.publish(
                f"edgehost/yard/one/cmd/rollback/{written['id']}", file=yard.folder / "signed"
            )
            async with tools.heard("edgehost/yard/one/#") as states:
                outcome = await states.final(f"edgehost/yard/one/cmd/rollback/{written['id']}")
                assert "no earlier good release" in outcome["reason"]


async def test_a_host_that_sleeps_applies_on_wake_and_what_is_taken_back_is_not(yard: Fleet) -> None:
    async with open_broker(kind="mosquitto") as broker:
        laptop, tools = Laptop(yard.folder, broker), Tools(broker)
        async with tools.heard("edgehost/yard/one/#") as heard:
            async with host(yard, broker, "one", "north"):
                await heard.until("edgehost/yard/one/twin/components")
            await heard.until("edgehost/yard/one/status", lambda status: status["status"] == "offline")
            (listed,) = (await laptop.run("ls"))["hosts"]
            assert listed["presence"] == "stopped"
            (kept,) = (await laptop.run("deploy", "telemetry@1.0.0", "--all", "--valid", "7d", code=3))[
                "commands"
            ]
            assert kept["state"] == "asleep"
            (gone,) = (await laptop.run("deploy", "telemetry@1.0.1", "--all", code=3))["commands"]
            (taken,) = (await laptop.run("cancel", gone["id"]))["commands"]
            assert taken["state"] == "taken back"
            async with host(yard, broker, "one", "north") as one:
                outcome = await heard.final(f"edgehost/yard/one/cmd/deploy/{kept['id']}")
                assert (outcome["status"], outcome["result"]["version"]) == ("successful", "1.0.0")
                assert one.live_version("telemetry") == "1.0.0"


async def test_a_broker_that_is_away_and_settings_that_are_wrong_have_their_exit_codes(yard: Fleet) -> None:
    async with open_broker(kind="mosquitto") as broker:
        laptop = Laptop(yard.folder, broker)
        assert (await laptop.run("ls"))["hosts"] == []
        await laptop.run("ls", "--label", "nonsense", code=2)
        await laptop.run("sign", "explode", "-o", "x", code=2)
        await laptop.run("sign", "logs", "-o", "x", "--valid", "99d", code=2)
        await laptop.run("halt", "spring", code=5)
        ordered = await laptop.run("halt", "spring", "--sequence", "3")
        assert ordered["order"] == "halt"
        assert (await Tools(broker).retained("edgehost/yard/_rollout/+"))["edgehost/yard/_rollout/spring"][
            "signed"
        ]
        await broker.stop()
        await laptop.run("ls", code=3)


async def test_an_order_that_hosts_refuse_says_so_and_ends_otherwise(yard: Fleet) -> None:
    generate_key(yard.folder / "eve.key")
    async with (
        open_broker(kind="mosquitto") as broker,
        host(yard, broker, "one", "north") as one,
        host(yard, broker, "two", "south"),
    ):
        laptop, tools = Laptop(yard.folder, broker), Tools(broker)
        async with tools.heard("edgehost/yard/+/status") as heard:
            await heard.until("edgehost/yard/one/status")
            await heard.until("edgehost/yard/two/status")
        approve = ("approve", "spring", "--sequence", "3", "--wave", "1", "--timeout", "20")
        refused = await laptop.run(*approve, code=1, key="eve.key")
        assert {each["host"]: each["obeyed"] for each in refused["answers"]} == {"one": False, "two": False}
        assert all("key" in each["reason"] for each in refused["answers"])
        findings = (await one.request("GET", "/api/host/doctor"))["findings"]
        (finding,) = [each for each in findings if each["check"] == "rollout orders"]
        assert finding["detail"].startswith("1 were not obeyed. The last: spring: ")
        forbidden = await laptop.run(*approve, code=1, key="bob.key")
        assert all("bob" in each["reason"] for each in forbidden["answers"])
        obeyed = await laptop.run(*approve)
        assert [(each["host"], each["obeyed"]) for each in obeyed["answers"]] == [
            ("one", True),
            ("two", True),
        ]


async def test_a_deployment_is_watched_until_every_host_is_done_and_orders_find_their_wave(
    yard: Fleet,
) -> None:
    async with open_broker(kind="mosquitto") as broker:
        laptop, tools = Laptop(yard.folder, broker), Tools(broker)
        report = {"site": "north", "sequence": 4, "digest": "ab", "wave": 1, "since": 5.0, "reason": ""}
        for name, state in (("one", "successful"), ("two", "waiting")):
            await tools.publish(f"edgehost/yard/{name}", {"id": name, "class": "pi4", "labels": {}})
            await tools.publish(f"edgehost/yard/{name}/twin/deployment/spring", report | {"state": state})
        await laptop.run("approve", "spring", code=5)
        asks = {
            "state": "waiting",
            "reason": "Wave 1 waits for an approval: 'edgehost fleet approve spring'.",
        }
        await tools.publish("edgehost/yard/two/twin/deployment/spring", report | asks)
        ordered = await laptop.run("approve", "spring")
        assert (ordered["sequence"], ordered["wave"]) == (4, 1)
        assert await laptop.said("watch", "sprung", "--timeout", "0", code=4) == [
            "No host reports on a deployment 'sprung' yet. Did you mean 'spring'?",
            "No host reported on 'sprung' in time.",
        ]
        late = await laptop.run("watch", "spring", "--timeout", "0.5", code=4)
        assert {each["host"] for each in late} == {"one", "two"}
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(laptop.run("watch", "spring", code=1))
            await tools.publish(
                "edgehost/yard/two/twin/deployment/spring", report | {"state": "failed", "reason": "hot"}
            )
        assert watching.result()[-1]["reason"] == "hot"


async def test_configuration_and_diagnosis_of_the_real_process_are_had_from_afar(yard: Fleet) -> None:
    async with open_broker(kind="mosquitto") as broker:
        laptop, tools = Laptop(yard.folder, broker), Tools(broker)
        text = HOST.format(name="one", site="north", port=broker.tcp_port)
        file = yard.folder / "one.toml"
        file.write_text(text.replace("[host]\n", "[host]\nconfig_trial_s = 0.5\n"))
        process = DemoHost(file, yard.folder / "one" / "edgehost.sock")
        async with tools.heard("edgehost/yard/one/#") as heard:
            await process.start()
            try:
                await heard.until(
                    "edgehost/yard/one/twin/config", lambda twin: twin.get("standing") == "good"
                )
                (shown,) = (await laptop.run("config", "--show", "--host", "one"))["commands"]
                assert shown["result"]["text"] == file.read_text()
                (yard.folder / "next.toml").write_text(file.read_text().replace("north", "west"))
                (taken,) = (await laptop.run("config", "--file", "next.toml", "--host", "one"))["commands"]
                assert taken["result"]["standing"] == "good"
                await heard.until("edgehost/yard/one", lambda found: found["labels"] == {"site": "west"})
                (told,) = (await laptop.run("diag", "--all", "--to", "."))["commands"]
                with tarfile.open(fileobj=io.BytesIO(base64.b64decode(told["result"]["base64"]))) as archive:
                    assert "edgehost-diag/status.json" in archive.getnames()
            finally:
                await process.stop()
