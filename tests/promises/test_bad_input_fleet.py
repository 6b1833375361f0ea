"""Bad input to a fleet, tried through hosts as they are run: each test quotes its line of the list.

What is tried here once and through everything is tried in depth in the rooms: carriers in tests/remotes, commands in
tests/usecases/test_run_fleet_commands.py, power cuts at each write in tests/usecases and tests/journeys.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.demo_fleet import demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.cli.main import main
from edgehost.config import load_config
from edgehost.domain.component_file import padded
from edgehost.domain.deployment_events import DeploymentRefused
from edgehost.domain.errors import EdgehostError
from edgehost.domain.events import Event
from remotes import bundle_report, durable_file
from remotes.bundle_making import make_bundle
from remotes.mirror import mirror_repository
from remotes.mqtt_transport import open_mqtt_transport
from remotes.repository import Repository
from tests.journeys.fleet import Fleet, telemetry
from tests.journeys.test_deployments import deploy, state
from tests.journeys.test_fleet_process import _reader as reader_of
from tests.journeys.test_killed_deployment import standing
from tests.promises.fleet_trouble import (
    JumpingClock,
    broker_of_one_byte_per_second,
    live,
    one_byte_per_second,
    open_chunk_killer,
)
from tests.remotes.hostile_broker import hostile_broker
from tests.remotes.scripted_web_server import open_scripted_server
from tests.remotes.workshop import broker_options

HOST = """
[host]
name = "journey"
data = "data"
config_trial_s = 0
[api]
tcp_port = 0
"""
REMOTE = """
[[remotes]]
name = "{name}"
root = "root.json"
{carrier}
"""
FOLDER = 'transport = "folder"\npath = "mirror"'
YEAR = 366 * 86_400.0


def written(folder: Path, *tables: str) -> Path:
    """A configuration file."""
    file = folder / "edgehost.toml"
    file.write_text(HOST + "".join(tables))
    return file


async def test_broker_killed_at_every_chunk(tmp_path: Path) -> None:
    """ "Broker killed at every chunk": a release of many chunks arrives all the same, in one go of one host."""
    fleet = Fleet(tmp_path)
    await fleet.publish(padded(telemetry("1.0.0"), 100_000))
    async with open_broker(kind="mosquitto") as broker:
        async with open_mqtt_transport("fleet", broker_options(broker.tcp_port)) as transport:
            await mirror_repository(Repository(tmp_path / "repository"), transport)
        async with open_chunk_killer(broker) as killer:
            carrier = f'transport = "mqtt"\nhost = "127.0.0.1"\ntcp_port = {killer.tcp_port}'
            file = written(tmp_path, REMOTE.format(name="fleet", carrier=carrier))
            host = DemoHost(file, tmp_path / "data" / "edgehost.sock")
            await host.start()
            try:
                await live(host, "1.0.0")
            finally:
                await host.stop()
            chunks = list((tmp_path / "repository" / "chunk").iterdir())
            assert killer.kills == len(killer.seen) == len(chunks) == 4
    assert "Traceback" not in (tmp_path / "host.log").read_text()


async def test_a_deployment_naming_what_does_not_exist_or_a_cycle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ "A deployment naming what does not exist, or a cycle": refused at the desk, and by hosts when signed anyway."""
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await fleet.publish(demo_component("sensors-1.0.0"))
    circle = '[components.telemetry]\nafter = ["sensors"]\n[components.sensors]\nafter = ["telemetry"]\n'
    for text, words in (
        (circle, "in a circle: "),
        ("[components.ghost]\n", "ghost"),
        ('[components.telemetry]\nversion = "^7"\n', "^7"),
        ('[components.telemetry]\nafter = ["ghost"]\n', "no component of this deployment"),
        ("[hosts]\nids = []\n[components.telemetry]\n", "for no host"),
    ):
        (tmp_path / "site.toml").write_text('name = "site"\n' + text)
        for command in (["check", "--repository"], ["publish", "--key", str(tmp_path / "only.key")]):
            words_given = ["deployment", *command, str(tmp_path / "repository"), str(tmp_path / "site.toml")]
            assert await asyncio.to_thread(main, words_given) in {1, 5}, text
            assert words in capsys.readouterr().err
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        await host.live("sensors", "1.0.0")
        bus = host.host.control.manager.bus
        signed_anyway = {"telemetry": {"after": ["sensors"]}, "sensors": {"after": ["telemetry"]}}
        async with bus.subscription(lambda event: isinstance(event, DeploymentRefused)) as refused:
            await deploy(fleet, {"name": "circle", "components": signed_anyway})
            async with asyncio.timeout(20):
                event = await anext(refused)
        assert isinstance(event, DeploymentRefused)
        assert "in a circle" in event.reason
        nowhere = {
            "telemetry": {"version": "=1.0.0", "merge": {"unit": "percent"}},
            "ghost": {"version": "*"},
            "sensors": {"version": "^7"},
        }
        await deploy(fleet, {"name": "site", "on_failure": "keep", "components": nowhere})
        async with asyncio.timeout(20):
            while "ghost" not in str((await host.request("GET", "/api/host/deployments"))["deployments"]):
                await asyncio.sleep(0.02)
            while (await standings(host)).get("telemetry") != "reached":  # the others hold nothing up
                await asyncio.sleep(0.02)
        assert (host.live_version("telemetry"), host.live_version("sensors")) == ("1.0.0", "1.0.0")


async def standings(host: Any) -> dict[str, str]:
    rows = (await host.request("GET", "/api/host/deployments"))["deployments"]
    return {each["component"]: each["standing"] for row in rows for each in row["components"]}


async def test_a_remote_that_serves_one_byte_per_second(tmp_path: Path) -> None:
    """ "A remote that serves one byte per second": it holds up neither the others nor the host's end."""
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with (
        open_scripted_server(one_byte_per_second) as server,
        hostile_broker(broker_of_one_byte_per_second) as tcp_port,
    ):
        file = written(
            tmp_path,
            REMOTE.format(name="web", carrier=f'transport = "http"\nurl = "{server.url}"'),
            REMOTE.format(
                name="slow", carrier=f'transport = "mqtt"\nhost = "127.0.0.1"\ntcp_port = {tcp_port}'
            ),
            REMOTE.format(name="near", carrier=FOLDER),
        )
        async with fleet.host(load_config(file)) as host:
            await host.live("telemetry", "1.0.0")
            assert server.asked
            status = await host.request("GET", "/api/host/status")
            states = {each["name"]: each["state"] for each in status["remotes"]}
            assert states["near"] == "ok"
            assert "ok" not in {states["web"], states["slow"]}
            began = time.monotonic()
        assert time.monotonic() - began < 20  # the slow ones have hours to go


async def test_a_usb_stick_pulled_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "A USB stick pulled at every write": while a bundle is copied to it, and while the host writes its report."""
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await make_bundle(reader_of(tmp_path / "mirror"), tmp_path / "site.edgehost-bundle")
    whole = (tmp_path / "site.edgehost-bundle").read_bytes()
    media, stick = tmp_path / "media", tmp_path / "media" / "stick"
    media.mkdir()
    carrier = 'transport = "stick"\npath = "media"\nlook_s = 0.1'
    pulled: list[str] = []
    real = durable_file.write_durably

    def pulled_at_a_report(path: Path, content: bytes, *, mode: int = 0o644) -> None:
        if len(pulled) < 3:
            pulled.append(path.name)
            if len(pulled) == 2:
                path.write_bytes(content[: len(content) // 2])
            shutil.rmtree(stick)
        real(path, content, mode=mode)

    monkeypatch.setattr(bundle_report, "write_durably", pulled_at_a_report)
    async with fleet.host(
        load_config(written(tmp_path, REMOTE.format(name="fleet", carrier=carrier)))
    ) as host:
        health = host.host.control.remotes["fleet"][0]
        for eighth in range(8):
            stick.mkdir()
            (stick / "site.edgehost-bundle").write_bytes(whole[: len(whole) * eighth // 8])
            await asyncio.sleep(0.15)  # it is looked at, or not: both are right
            shutil.rmtree(stick, ignore_errors=True)
            assert health.state != "refused", health.reason
        assert host.live_version("telemetry") == ""
        report = stick / "site.report.json"
        async with asyncio.timeout(30):
            while len(pulled) < 3 or not report.is_file() or b'"taken"' not in report.read_bytes():
                if not (stick / "site.edgehost-bundle").exists():
                    with suppress(FileNotFoundError):  # pulled again already
                        stick.mkdir(exist_ok=True)
                        (stick / "site.edgehost-bundle").write_bytes(whole)
                await asyncio.sleep(0.05)
        await host.live("telemetry", "1.0.0")
        assert [file for file in stick.iterdir() if file.name.startswith(".")] == []


async def test_a_mirror_that_lies(tmp_path: Path) -> None:
    """ "A mirror that lies": in every chunk, with another's metadata, and with an old state; the truth arrives."""
    (tmp_path / "stranger").mkdir()
    fleet, stranger = Fleet(tmp_path), Fleet(tmp_path / "stranger")
    await fleet.publish(telemetry("1.0.0"))
    shutil.copytree(tmp_path / "mirror", tmp_path / "stale")
    await fleet.publish(telemetry("1.0.1"))
    await stranger.publish(telemetry("1.0.1"))
    shutil.copytree(tmp_path / "mirror", tmp_path / "flipped")
    for chunk in (tmp_path / "flipped" / "chunk").iterdir():
        content = bytearray(chunk.read_bytes())
        content[-1] ^= 1
        chunk.write_bytes(content)
    mirrors = "".join(
        f'[[remotes.mirrors]]\ntransport = "folder"\npath = "{path}"\nnear = true\n'
        for path in ("flipped", "stranger/mirror", "stale")
    )
    file = written(tmp_path, REMOTE.format(name="fleet", carrier=FOLDER), mirrors)
    async with fleet.host(load_config(file)) as host:
        await host.live("telemetry", "1.0.1")
        health = host.host.control.remotes["fleet"][0]
        async with asyncio.timeout(20):
            while health.state != "ok":  # said once the whole look is over
                await asyncio.sleep(0.02)


async def test_clocks_jumping_both_ways_during_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Clocks jumping both ways during a deployment": it ends, and no call fails meanwhile."""
    fleet = Fleet(tmp_path)
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
    await deploy(fleet, {"name": "site", "components": {"telemetry": {"version": "=1.0.0"}}})
    clock = JumpingClock(monkeypatch)
    async with fleet.host() as host:
        await host.until(lambda: state(host) == "successful 1")
        bus = host.host.control.manager.bus
        jumps = 0

        async def jump() -> None:
            """To 1970, ten years ahead, two hours back, and right again, at each thing that happens."""
            nonlocal jumps
            async with bus.subscription(_of_a_deployment, backlog=1000) as events:
                async for _ in events:
                    clock.offset_s = (-60 * YEAR, 10 * YEAR, -7200.0, 0.0)[jumps % 4]
                    jumps += 1

        async with asyncio.TaskGroup() as tasks:
            jumping = tasks.create_task(jump())
            await deploy(
                fleet,
                {
                    "name": "site",
                    "deadline_s": 600,
                    "rollout": {"soak_s": 0.3},
                    "components": {"telemetry": {"version": "=1.0.1", "merge": {"unit": "percent"}}},
                },
            )
            async with asyncio.timeout(20):
                while state(host) != "successful 2":
                    await host.request("GET", "/api/models/telemetry")
                    await host.request("POST", "/api/host/refresh", body={})
            jumping.cancel()
        assert jumps >= 4
        assert host.live_version("telemetry") == "1.0.1"
        clock.offset_s = 0.0
        await fleet.publish(telemetry("1.0.2"))
        await deploy(fleet, {"name": "site", "components": {"telemetry": {"version": "=1.0.2"}}})
        await host.until(lambda: state(host) == "successful 3")  # nothing was locked out for good


def _of_a_deployment(event: Event) -> bool:
    return event.type.startswith(("edgehost.deployment.", "edgehost.release."))


async def test_power_loss_at_every_transition(tmp_path: Path) -> None:
    """ "Power loss at every transition": killed at the first, then at the second ... until nothing is left to do."""
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await deploy(fleet, {"name": "site", "components": {"telemetry": {"version": "=1.0.0"}}})
    config = fleet.config()
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    await host.start()
    try:
        await live(host, "1.0.0")
        await fleet.publish(telemetry("1.0.1"))
        wanted = {"telemetry": {"version": "=1.0.1", "merge": {"unit": "percent"}}}
        await deploy(fleet, {"name": "site", "on_failure": "all-or-none", "components": wanted})
        kills, at = 0, 1
        while True:
            heard = HeardEvents(host.client)
            with heard.listening():
                seen = await _transitions(host, heard, at)
                state_now, running = await _standing(host)
                if state_now == "successful 2":
                    break
                assert seen
                await host.kill()
            kills += 1
            at += 1
            await host.start()
            assert (await standing(host))[1].get("telemetry") in {"1.0.0", "1.0.1"}  # never none
        assert kills >= 2
        assert running == {"telemetry": "1.0.1"}
    finally:
        await host.stop()


async def _standing(host: DemoHost) -> tuple[str, dict[str, str]]:
    try:
        return await standing(host)
    except EdgehostError:
        return "", {}


async def _transitions(host: DemoHost, heard: HeardEvents, at: int) -> bool:
    """Whether so many transitions were heard before the deployment ended."""
    async with asyncio.timeout(20):
        while True:
            count = sum(
                len(heard.heard(f"edgehost.{kind}"))
                for kind in ("deployment.accepted", "deployment.moved", "release.moved", "release.fetched")
            )
            if count >= at:
                return True
            if (await _standing(host))[0] == "successful 2":
                return False
            await asyncio.sleep(0.001)
