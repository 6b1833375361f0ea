"""A host serves what it has by CoAP, and its neighbour needs nobody else; the command line serves a folder."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from pathlib import Path

from edgehost.adapters.broker.free_port import free_port
from edgehost.config import Config, load_config
from tests.journeys.fleet import Fleet, telemetry
from tests.required_tools import require_tool

NEIGHBOUR = """
[host]
name = "neighbour"
data = "data"
config_trial_s = 0
[api]
tcp_port = 0
[[remotes]]
name = "next-door"
transport = "coap"
host = "127.0.0.1"
port = {port}
over = "{over}"
repository = "fleet"
root = "root.json"
"""


def neighbour(folder: Path, fleet: Fleet, port: int, over: str) -> Config:
    folder.mkdir()
    shutil.copy(fleet.folder / "root.json", folder)
    (folder / "edgehost.toml").write_text(NEIGHBOUR.format(port=port, over=over))
    return load_config(folder / "edgehost.toml")


async def test_a_release_goes_from_host_to_host_by_the_shelf(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    port = free_port()
    shelf = f'[shelf]\ncoap_listen = "127.0.0.1"\ncoap_port = {port}\n'
    async with fleet.host(fleet.config(more=shelf)) as first:
        await first.live("telemetry", "1.0.0")
        async with (
            fleet.host(neighbour(tmp_path / "tcp", fleet, port, "auto")) as second,
            fleet.host(neighbour(tmp_path / "udp", fleet, port, "udp")) as third,
        ):
            await second.live("telemetry", "1.0.0")
            await third.live("telemetry", "1.0.0")
            await fleet.publish(telemetry("1.1.0"))
            await first.live("telemetry", "1.1.0")
            await second.live("telemetry", "1.1.0")
            await third.live("telemetry", "1.1.0")


async def test_the_command_line_serves_a_repository_until_it_is_told_to_stop(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    port = free_port()
    words = ["remote", "serve", str(tmp_path / "repository"), "--name", "fleet", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edgehost",
        *words,
        "--coap",
        f"127.0.0.1:{port}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            serving = json.loads(await process.stdout.readline())["serving"]
        assert serving == [f"{scheme}://127.0.0.1:{port}/remote/fleet" for scheme in ("coap", "coap+tcp")]
        for address in serving:
            client = await asyncio.create_subprocess_exec(
                require_tool("coap-client-notls"),
                "-B",
                "5",
                f"{address}/metadata/timestamp.json",
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await client.communicate()
            assert output.strip() == (tmp_path / "repository/metadata/timestamp.json").read_bytes().strip()
        async with fleet.host(neighbour(tmp_path / "host", fleet, port, "auto")) as host:
            await host.live("telemetry", "1.0.0")
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert errors == b""
