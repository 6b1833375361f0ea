"""A host that is started where it can write nothing, by ``unshare -m`` on a read-only card, by ``setpriv`` as nobody."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.errors import EdgehostError
from tests.adapters.fleet.fleet_scene import ROOT, Heard, Tools
from tests.journeys.failing_card import READING, no_spare_folders, shell
from tests.journeys.fleet import Fleet, telemetry

HOST = """
[host]
name = "journey"
config_trial_s = 0
[api]
tcp_port = 0
[limits]
free_bytes = 1_048_576
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
sign_reports = true
"""


async def asked(host: DemoHost, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The answer, or how it was refused."""
    try:
        answer = await asyncio.to_thread(host.client.request, method, path, body=body)
    except EdgehostError as problem:
        return {"kind": type(problem).__name__, "message": problem.message, "hint": problem.hint}
    return {"answer": answer.json()}


async def ordered(tools: Tools, heard: Heard, operation: str, name: str, **arguments: Any) -> dict[str, Any]:
    topic = f"{ROOT}/cmd/{operation}/{name}"
    await tools.publish(topic, {"status": "init", "arguments": arguments})
    return dict(await heard.final(topic))


async def shown(tools: Tools, topic: str, key: str) -> dict[str, Any]:
    """What the host shows there, once this is in it."""
    async with tools.heard(f"{ROOT}/{topic}") as heard:
        return dict(await heard.until(f"{ROOT}/{topic}", lambda payload: bool(payload and payload.get(key))))


async def on_a_card_that_is_written(
    host: DemoHost, fleet: Fleet, tools: Tools, heard: Heard
) -> dict[str, Any]:
    await host.start()
    try:
        await heard.until(f"{ROOT}/twin/components", lambda twin: "telemetry" in twin)
        made = await asked(host, "POST", "/api/models/telemetry", READING)
        return {"made": made, "order": await ordered(tools, heard, "logs", "first", component="telemetry")}
    finally:
        await host.stop()


async def on_a_read_only_card(host: DemoHost, fleet: Fleet, tools: Tools, record: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    await fleet.publish(telemetry("1.0.1"))
    async with tools.heard() as heard:
        await host.start()
        try:
            seen["agent"] = (await host.get("/api/host/status"))["agent"]
            seen["twin"] = await shown(tools, "twin/config", "safe_mode")
            seen["alarm"] = await shown(tools, "a/safe-mode", "text")
            for operation, arguments in (
                ("logs", {"host": True}),
                ("diag", {}),
                ("deploy", {"component": "telemetry", "version": "1.0.1"}),
                ("restart", {"component": "telemetry"}),
            ):
                seen[operation] = await ordered(tools, heard, operation, f"ro-{operation}", **arguments)
            seen["doctor"] = (await host.get("/api/host/doctor"))["findings"]
            seen["releases"] = (await host.get("/api/host/releases"))["releases"]
            for name, method, path, body in (
                ("newer", "POST", "/api/host/deploy", {"component": "telemetry", "version": "1.0.1"}),
                ("read", "GET", "/api/models/telemetry", None),
                ("call", "POST", f"/api/models/telemetry/{record}/commands/summary", {}),
                ("write", "POST", "/api/models/telemetry", READING),
                ("apply", "POST", "/api/host/apply-config", {"text": '[host]\nname = "other"\n'}),
                ("leave", "POST", "/api/host/safe-mode", {"state": "off"}),
            ):
                seen[name] = await asked(host, method, path, body)
        finally:
            await host.stop()
    return seen


async def killed_at_boot(host: DemoHost) -> dict[str, Any]:
    """What the host says of its life once it was killed three times before it was well."""
    text = host.config_file.read_text()
    host.config_file.write_text(text.replace("config_trial_s = 0", "config_trial_s = 600"))
    for _ in range(3):
        await host.start()
        await host.kill()
    await host.start()
    try:
        return dict((await host.get("/api/host/status"))["agent"])
    finally:
        await host.stop()
        host.config_file.write_text(text)


async def story(folder: Path) -> dict[str, Any]:
    fleet = Fleet(folder)
    await fleet.publish(telemetry("1.0.0"))
    data = folder / "data"
    data.mkdir()
    await asyncio.to_thread(shell, "mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", data)
    seen: dict[str, Any] = {}
    async with open_broker(kind="mosquitto") as broker:
        (folder / "edgehost.toml").write_text(HOST.format(port=broker.tcp_port))
        tools = Tools(broker)
        host = DemoHost(folder / "edgehost.toml", data / "edgehost.sock")
        async with tools.heard() as heard:
            seen["written"] = await on_a_card_that_is_written(host, fleet, tools, heard)
        files = sorted((str(path), path.stat().st_mtime_ns) for path in data.rglob("*"))
        await asyncio.to_thread(shell, "mount", "-o", "remount,ro", data)
        seen["read_only"] = await on_a_read_only_card(
            host, fleet, tools, seen["written"]["made"]["answer"]["id"]
        )
        seen["killed"] = await killed_at_boot(host)
        seen["untouched"] = files == sorted((str(path), path.stat().st_mtime_ns) for path in data.rglob("*"))
        await asyncio.to_thread(shell, "mount", "-o", "remount,rw", data)
        async with tools.heard() as heard:
            await host.start()
            try:
                await heard.until(
                    f"{ROOT}/twin/components",
                    lambda twin: twin.get("telemetry", {}).get("version") == "1.0.1",
                )
                seen["after"] = (await host.get("/api/host/status"))["agent"]
                seen["records"] = (await asked(host, "GET", "/api/models/telemetry"))["answer"]["records"]
            finally:
                await host.stop()
    await no_spare_folders(host)
    seen["log"] = (folder / "host.log").read_text()
    return seen


async def of_another_user(folder: Path) -> dict[str, Any]:
    fleet = Fleet(folder)
    await fleet.publish(telemetry("1.0.0"))
    fleet.config()
    data = folder / "data"
    host = DemoHost(folder / "edgehost.toml", data / "edgehost.sock")
    seen: dict[str, Any] = {}
    await host.start()
    try:
        while (await asked(host, "GET", "/api/models/telemetry")).get("kind") == "NotFoundError":
            await asyncio.sleep(0.02)
        await asked(host, "POST", "/api/models/telemetry", READING)
    finally:
        await host.stop()
    await asyncio.to_thread(shell, "chmod", "-R", "a+rX", data)
    await asyncio.to_thread(shell, "chown", "-R", "54321", data)
    await host.start()
    try:
        seen["agent"] = (await host.get("/api/host/status"))["agent"]
        seen["read"] = await asked(host, "GET", "/api/models/telemetry")
        seen["write"] = await asked(host, "POST", "/api/models/telemetry", READING)
        seen["leave"] = await asked(host, "POST", "/api/host/safe-mode", {"state": "off"})
        await asyncio.to_thread(shell, "chown", "-R", "0", data)
        await asked(host, "POST", "/api/host/safe-mode", {"state": "off"})  # else within half a minute
        while not seen.get("after", {}).get("keeps"):
            found = await asked(host, "GET", "/api/host/status")
            seen["after"] = found.get("answer", {}).get("agent", {})
            await asyncio.sleep(0.02)
        seen["written"] = await asked(host, "POST", "/api/models/telemetry", READING)
    finally:
        await host.stop()
    seen["log"] = (folder / "host.log").read_text()
    await no_spare_folders(host)
    return seen


STORIES = {"read-only": story, "another's": of_another_user}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(STORIES[sys.argv[1]](Path(sys.argv[2])))))  # noqa: T201 - the answer
