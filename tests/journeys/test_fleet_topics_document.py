"""docs/fleet-topics.md is true: its examples are run by mosquitto_pub and looked for by mosquitto_sub."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from tests.adapters.fleet.fleet_scene import Tools
from tests.bridge.device_scene import BLINK, Workshop, pty_device, publish
from tests.journeys.fleet import Fleet, telemetry
from tests.journeys.test_device_bridge import lamp, online

DOCUMENT = Path(__file__).parents[2] / "docs" / "fleet-topics.md"
TEXT = DOCUMENT.read_text()
SHOWN = re.findall(r"^### `(\S+)`\n.*?^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^mosquitto_pub .*$", TEXT, re.MULTILINE)
CONFIG = """
[host]
name = "gate"
[host.labels]
site = "north"
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
transport = "folder"
path = "mirror"
root = "root.json"
[fleet]
name = "yard"
host = "127.0.0.1"
tcp_port = {port}
commands = "trusted-broker"
measure_s = 1
events_per_s = 1000
"""


def has_members(found: Any, example: Any) -> bool:
    """Whether everything in the example is there, and of the same kind."""
    if isinstance(example, dict):
        return isinstance(found, dict) and all(
            key in found and has_members(found[key], example[key]) for key in example
        )
    return found is None or isinstance(found, type(example)) or {type(found), type(example)} <= {int, float}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


async def test_what_the_document_shows_is_what_a_host_shows(tmp_path: Path, stack: ExitStack) -> None:
    assert (len(SHOWN), len(COMMANDS)) == (12, 8)
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    (tmp_path / "workshop").mkdir()
    workshop = Workshop(tmp_path / "workshop")
    await publish(fleet, BLINK, workshop.signing)
    async with open_broker(kind="mosquitto") as broker:
        device = stack.enter_context(pty_device(workshop, tmp_path / "flash"))
        (tmp_path / "edgehost.toml").write_text(CONFIG.format(port=broker.tcp_port) + lamp(device.path))
        tools = Tools(broker)
        from edgehost.config import load_config  # noqa: PLC0415

        topics = {topic: json.loads(example) for topic, example in SHOWN}
        async with (
            tools.heard("edgehost/yard/gate/#") as heard,
            fleet.host(load_config(tmp_path / "edgehost.toml")) as host,
        ):
            await online(host)
            await host.request("POST", "/api/host/devices/lamp/deploy", {"component": "device-blink"})
            await host.live("telemetry", "1.0.0")
            await fleet.publish(telemetry("1.0.1"))
            await host.live("telemetry", "1.0.1")
            seen: dict[str, Any] = {}
            damaged = tmp_path / "mirror" / "metadata" / "timestamp.json"
            before = damaged.read_bytes()
            damaged.write_bytes(re.sub(rb'("sig": ?")..', rb"\g<1>00", before))
            await host.request("POST", "/api/host/refresh", body={})
            async with asyncio.timeout(30):
                while missing := [
                    topic
                    for topic, example in topics.items()
                    if not has_members(seen.get(topic), example) or not seen.get(topic)
                ]:
                    line = await heard.next()
                    if line.payload is not None and line.topic in missing:
                        seen[line.topic] = line.payload
            damaged.write_bytes(before)
            for command in COMMANDS:
                words = shlex.split(command.replace("-h BROKER", f"-p {broker.tcp_port}"))
                process = await asyncio.create_subprocess_exec(*words)
                assert await process.wait() == 0
                outcome = await heard.final(words[words.index("-t") + 1])
                assert outcome["status"] == "successful", (command, outcome)
