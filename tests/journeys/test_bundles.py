"""A site without network: a bundle is made, carried, taken, and reported on, on the command line alone."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgehost.config import load_config
from edgehost.domain.bundle_events import BundleChecked
from edgehost.host import started_host
from tests.journeys.fleet import RunningHost
from tests.json_commands import Edgehost, json_commands

EXAMPLES = Path(__file__).parents[2] / "examples"
TELEMETRY = EXAMPLES / "telemetry" / "telemetry-1.0.0.wasm"
NEXT = EXAMPLES / "telemetry-1.1.0" / "telemetry-1.1.0.wasm"
GREETER = EXAMPLES / "greeter" / "greeter-1.0.0.wasm"

CONFIG = """
[host]
name = "site"
data = "data"
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
transport = "stick"
path = "media"
root = "root.json"
look_s = 0.1
"""


@pytest.fixture
def edgehost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgehost:
    """Runs commands in a folder with a repository of two releases and a site's configuration."""
    monkeypatch.chdir(tmp_path)

    run = json_commands(capsys)
    for name in ("root", "online"):
        run("keygen", f"keys/{name}", "--no-passphrase")
    run("remote", "init", "repository", "--root-key", "keys/root.key", "--online-key", "keys/online.key")
    run("publish", "repository", str(TELEMETRY), str(GREETER), "--key", "keys/online.key")
    shutil.copy("repository/metadata/1.root.json", "root.json")
    Path("edgehost.toml").write_text(CONFIG)
    Path("media/stick").mkdir(parents=True)
    return run


async def there(command: Edgehost, *words: str, code: int = 0) -> dict[str, Any]:
    """The command in a thread, as it has an event loop of its own."""
    return await asyncio.to_thread(command, *words, code=code)


async def report_of(bundle: Path, *, says: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    file = bundle.with_suffix(".report.json")
    async with asyncio.timeout(30):
        while True:
            if file.is_file() and says(found := json.loads(file.read_bytes())):
                return dict(found)
            await asyncio.sleep(0.05)


def inbox() -> list[str]:
    """The host's own copies."""
    return [file.name for file in Path("data/remotes/fleet/inbox").glob("*bundle")]


async def test_a_site_without_network_lives_from_sticks(edgehost: Edgehost) -> None:
    made = await there(edgehost, "bundle", "create", "repository", "one.edgehost-bundle")
    assert {path: row["whole"] for path, row in made["targets"].items()} == {
        "telemetry/1.0.0.wasm": True,
        "greeter/1.0.0.wasm": True,
    }
    shown = await there(edgehost, "bundle", "show", "one.edgehost-bundle", "--root", "root.json")
    assert shown["holds"] is True
    assert shown["version"] == made["version"]

    async with started_host(load_config(Path("edgehost.toml"))) as host:
        site = RunningHost(host)
        bus = host.control.manager.bus
        stick = Path("media/stick")
        shutil.copy("one.edgehost-bundle", stick / "one.edgehost-bundle")
        await site.live("telemetry", "1.0.0")
        await site.live("greeter", "1.0.0")
        report = await report_of(
            stick / "one.edgehost-bundle",
            says=lambda found: all(row["state"] == "live" for row in found["contents"].values()),
        )
        assert (report["outcome"], report["host"], report["remote"]) == ("taken", "site", "fleet")
        assert len(report["contents"]) == 2

        await there(edgehost, "publish", "repository", str(NEXT), "--key", "keys/online.key")
        await there(
            edgehost, "bundle", "create", "repository", "two.edgehost-bundle", "--component", "telemetry"
        )
        applied = await there(edgehost, "bundle", "apply", "two.edgehost-bundle")
        assert applied["outcome"] == "taken"
        assert applied["contents"]["telemetry/1.1.0.wasm"]["state"] == "live"
        assert site.live_version("telemetry") == "1.1.0"
        assert site.live_version("greeter") == "1.0.0"

        # The old bundle is still on the stick, and no attack for that.
        older = await report_of(stick / "one.edgehost-bundle", says=lambda found: found["outcome"] == "older")
        assert "newer state" in older["reason"]
        told = bus.last("edgehost.bundle.checked", 10)
        assert [(each.bundle, each.outcome) for each in told if isinstance(each, BundleChecked)] == [
            ("one.edgehost-bundle", "taken"),
            ("two.edgehost-bundle", "taken"),
            ("one.edgehost-bundle", "older"),
        ]
        again = await there(edgehost, "bundle", "apply", "one.edgehost-bundle")
        assert again["outcome"] == "older"
        health = (await site.request("GET", "/api/host/status"))["remotes"][0]
        assert health["state"] == "ok"
        assert inbox() == ["two.edgehost-bundle"]

        # What the host has is a bundle for its neighbour.
        own = await there(edgehost, "bundle", "create", "fleet", "own.edgehost-bundle", "--from-host")
        whole = {path for path, row in own["targets"].items() if row["whole"]}
        assert whole == {"telemetry/1.0.0.wasm", "telemetry/1.1.0.wasm", "greeter/1.0.0.wasm"}
        shown = await there(edgehost, "bundle", "show", "own.edgehost-bundle", "--root", "root.json")
        assert shown["holds"] is True
