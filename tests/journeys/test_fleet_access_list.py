"""The access list of docs/fleet-topics.md, at a genuine mosquitto: hosts, an operator, and what neither may do."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.config import load_config
from remotes.keys import generate_key
from tests.journeys.fleet import Fleet, telemetry
from tests.required_tools import require_tool

DOCUMENT = Path(__file__).parents[2] / "docs" / "fleet-topics.md"
HOST = """
[host]
name = "{name}"
data = "{name}"
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
username = "{name}"
password_file = "{name}.password"
measure_s = 1
commands = "signed"
[[fleet.operators]]
key = "ada.pub"
may = ["*"]
"""


def secrets(folder: Path) -> str:
    """Passwords for the users, and mosquitto's configuration."""
    (acl,) = re.findall(r"^```acl\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "acl").write_text(acl)
    (folder / "passwords").touch()
    for name in ("gate", "well", "ada", "monitor"):
        (folder / f"{name}.password").write_text(f"secret of {name}\n")
        command = [
            require_tool("mosquitto_passwd"),
            "-b",
            str(folder / "passwords"),
            name,
            f"secret of {name}",
        ]
        subprocess.run(command, check=True)
    for name in ("acl", "passwords"):
        (folder / name).chmod(0o644)
    return f"allow_anonymous false\nacl_file {folder}/acl\npassword_file {folder}/passwords"


async def laptop(folder: Path, *words: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgehost", "fleet", *words, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={"EDGEHOST_FLEET": str(folder / "fleet.toml"), "PATH": "/usr/bin"},
        cwd=folder,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


async def test_hosts_and_operators_need_no_more_than_the_access_list_of_the_document(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    generate_key(tmp_path / "ada.key")
    async with open_broker(kind="mosquitto", extra_config=secrets(tmp_path)) as broker:
        (tmp_path / "fleet.toml").write_text(
            f'broker = "127.0.0.1:{broker.tcp_port}"\nfleet = "yard"\nkey = "ada.key"\n'
            'username = "ada"\npassword_file = "ada.password"\n'
        )
        (tmp_path / "gate.toml").write_text(HOST.format(name="gate", port=broker.tcp_port))
        async with fleet.host(load_config(tmp_path / "gate.toml")) as host:
            await host.in_its_fleet()
            words = ["mosquitto_pub", "-p", str(broker.tcp_port), "-u", "well", "-P", "secret of well", "-r"]
            for topic in ("gate/twin/components", "gate/cmd/deploy/x", "_rollout/spring"):
                process = await asyncio.create_subprocess_exec(
                    *words, "-t", f"edgehost/yard/{topic}", "-m", "{}"
                )
                await process.wait()
            (listed,) = (await laptop(tmp_path, "ls"))["hosts"]
            assert (listed["host"], listed["presence"], listed["open_commands"]) == ("gate", "online", 0)
            login = ("--username", "monitor", "--password-file", "monitor.password")
            assert [each["host"] for each in (await laptop(tmp_path, "ls", *login))["hosts"]] == ["gate"]
            (done,) = (await laptop(tmp_path, "deploy", "telemetry@1.0.0", "--all"))["commands"]
            assert done["state"] == "successful"
            findings = (await host.request("GET", "/api/host/doctor"))["findings"]
            assert {each["state"] for each in findings if each["check"].startswith("fleet")} == {"ok"}
