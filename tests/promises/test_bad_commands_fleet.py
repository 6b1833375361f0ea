"""Bad input to a fleet by those who command it: each test quotes its line of the list; see test_bad_input_fleet.py."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.adapters.fleet.command_signing import OperatorKey, new_command
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.fleet_command import FleetCommand, Operation
from remotes.keys import generate_key, load_signer
from tests.adapters.fleet.fleet_scene import ROOT, Tools
from tests.journeys.fleet import Fleet, telemetry
from tests.journeys.test_fleet_process import SIGNED, TRUSTED, order, process, text_of
from tests.journeys.test_killed_deployment import standing
from tests.promises.fleet_trouble import live

PINNED = '[components.telemetry]\nversion = "=1.0.0"\n'


async def test_duplicate_reordered_replayed_and_forged_commands(  # noqa: PLR0915 - one line of the list, one story
    tmp_path: Path,
) -> None:
    """ "Duplicate, reordered, replayed and forged commands": by mosquitto_pub, to the process, over a kill -9."""
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    ada, stranger = operator(tmp_path / "ada"), operator(tmp_path / "stranger")
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard() as heard, process(tmp_path, text_of(broker, SIGNED)) as host:

            async def give(topic: str, content: bytes) -> None:
                (tmp_path / "message").write_bytes(content)
                await tools.publish(f"{ROOT}/cmd/{topic}", file=tmp_path / "message")

            async def refused(topic: str, content: bytes, words: str) -> None:
                await give(topic, content)
                outcome = await heard.final(f"{ROOT}/cmd/{topic}")
                assert (outcome["status"], words in outcome["reason"]) == ("failed", True), outcome

            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
            before = await pids(host)
            command = restart()
            topic, payload = f"restart/{command.id}", ada.signed_command(command)
            await give(topic, payload)
            await give(topic, payload)
            assert (await heard.final(f"{ROOT}/cmd/{topic}"))["status"] == "successful"
            once = await pids(host)
            assert once != before
            await give(topic, payload)  # again, now that it is over
            await tools.publish(f"{ROOT}/cmd/{topic}")  # cleared, and replayed
            await heard.until(f"{ROOT}/cmd/{topic}", lambda state: state is None)
            await refused(topic, payload, "taken before")
            assert await pids(host) == once

            early = restart()
            await refused(f"restart/{early.id}", ada.signed_cancellation(early), "before it came")
            await give(f"restart/{early.id}", ada.signed_command(early))
            flipped = bytearray(ada.signed_command(other := restart()))
            flipped[-20] ^= 1
            at = f"restart/{other.id}"
            await refused(at, bytes(flipped), "")
            await refused(at, stranger.signed_command(other), "No operator here has the key")
            await refused(at, b'{"status":"init","arguments":{}}', "must be signed")
            await refused("restart/elsewhere", ada.signed_command(other), "published elsewhere")
            await refused(f"rollback/{other.id}", ada.signed_command(other), "published elsewhere")
            for wrong, words in (
                (restart(audience="other"), "It is for other"),
                (restart(fleet="moon"), "the fleet 'moon'"),
                (restart(late_s=-7200), "expired"),
                (restart(late_s=7200), "clocks is wrong"),
            ):
                await refused(f"restart/{wrong.id}", ada.signed_command(wrong), words)
            assert await pids(host) == once

            await host.kill()
            await host.start()
            await heard.until(f"{ROOT}/status", lambda status: status["status"] == "online")
            await live(host, "1.0.0")
            after = await pids(host)
            await tools.publish(f"{ROOT}/cmd/{topic}")
            await heard.until(f"{ROOT}/cmd/{topic}", lambda state: state is None)
            await refused(topic, payload, "taken before")
            assert await pids(host) == after
            await give(at, ada.signed_command(other))  # what was only forged until now
            assert (await heard.final(f"{ROOT}/cmd/{at}"))["status"] == "successful"
            assert await pids(host) != after
        assert "Traceback" not in (tmp_path / "host.log").read_text()


def operator(name: Path) -> OperatorKey:
    _, key_id = generate_key(name.with_suffix(".key"))
    signer = load_signer(name.with_suffix(".key"))
    return OperatorKey(key_id, lambda content: bytes.fromhex(signer.sign(content).signature))


def restart(*, audience: str = "journey", fleet: str = "yard", late_s: float = 0) -> FleetCommand:
    now = time.time() + late_s  # noqa: TID251 - the operator's clock
    arguments = {"component": "telemetry"}
    return new_command(Operation.RESTART, arguments, fleet=fleet, audience=[audience], now=now, life_s=600)


async def pids(host: DemoHost) -> set[int]:
    return {each["pid"] for each in (await host.get("/api/host/instances"))["instances"]}


async def test_two_operators_at_once(tmp_path: Path) -> None:
    """ "Two operators at once": two of everything, as processes of their own; both end, and one order holds."""
    fleet = Fleet(tmp_path)
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
    for name in ("ada", "bob"):
        generate_key(tmp_path / f"{name}.key")
    operators = (
        f"settle_s = 0\n{SIGNED}" + '\n[[fleet.operators]]\nkey = "bob.pub"\nmay = ["*"]\nname = "bob"'
    )
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with tools.heard() as heard, process(tmp_path, text_of(broker, operators)) as host:
            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)

            async def run(*words: str) -> str:
                program = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "edgehost", *words, "--json"),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    cwd=tmp_path,
                )
                out, err = await program.communicate()
                if (
                    b"Somebody else is changing" in err
                ):  # a repository has one publisher at a time, and says so
                    return await run(*words)
                assert program.returncode == 0, (words, out, err)
                return out.decode()

            def fleet_words(key: str, *words: str) -> list[str]:
                broker_at = f"127.0.0.1:{broker.tcp_port}"
                return ["fleet", *words, "--broker", broker_at, "--fleet", "yard", "--key", key, "--all"]

            async with asyncio.TaskGroup() as both:
                for name, version in (("ada", "1.0.0"), ("bob", "1.0.1")):
                    both.create_task(run(*fleet_words(f"{name}.key", "deploy", f"telemetry@{version}")))
            assert (await standing(host))[1]["telemetry"] in {"1.0.0", "1.0.1"}

            for name in ("one", "two"):
                (tmp_path / f"{name}.toml").write_text(f'name = "site"\nnote = "{name}"\n{PINNED}')
            async with asyncio.TaskGroup() as both:
                for name in ("one", "two"):
                    publish = ["deployment", "publish", "repository", f"{name}.toml", "--key", "only.key"]
                    both.create_task(run(*publish, "--to", "mirror"))
            async with asyncio.timeout(20):
                while not await ended_or_told(host):
                    await asyncio.sleep(0.05)


async def ended_or_told(host: DemoHost) -> bool:
    """The deployment holds, or it says that it waits for what an operator chose by command."""
    rows = (await host.get("/api/host/deployments"))["deployments"]  # one that is queued has a row beside it
    ours: list[dict[str, Any]] = [each for each in rows if each["sequence"] == 2]
    if not ours:
        return False
    row = ours[0]
    live_now = (await standing(host))[1]["telemetry"]
    return (row["state"], live_now) == ("successful", "1.0.0") or (
        live_now == "1.0.1" and "An operator chose 1.0.1" in row["reason"]
    )


async def test_the_same_host_id_twice(tmp_path: Path) -> None:
    """ "The same host id twice": two processes; one speaks, a command is done once, and the other takes over."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        await Fleet(tmp_path / folder).publish(telemetry("1.0.0"))
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        text = text_of(broker, f"{TRUSTED}\nmeasure_s = 1")
        async with tools.heard() as heard, process(tmp_path / "first", text) as first:
            await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
            async with process(tmp_path / "second", text) as second:
                await heard.until(f"{ROOT}/a/namesake", lambda alarm: "process" in alarm["text"])
                async with asyncio.timeout(20):
                    while not (theirs := await pids(second)):
                        await asyncio.sleep(0.05)
                before = await pids(first)
                assert (await order(tools, heard, "restart", "r1", component="telemetry"))[
                    "status"
                ] == "successful"
                assert (await pids(first) != before, await pids(second) == theirs) == (True, True)
                await first.kill()
                outcome = await order(tools, heard, "restart", "r2", component="telemetry")
                assert outcome["status"] == "successful"
                assert await pids(second) != theirs
