"""Secrets are planted wherever there is a place for one; none is in the bundle, of a host that runs and of one that is down."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_host import DemoHost
from edgehost.cli.main import main
from edgehost.composition.diagnosis import make_bundle
from tests.journeys.fleet import Fleet, telemetry

PARTS = {
    "README.txt",
    "config.json",
    "status.json",
    "doctor.json",
    "ledger.json",
    "guest-log.json",
    "crashes.json",
}


def planted(place: str) -> str:
    return f"PLANTED-{place}-0123456789abcdef"


def unpacked(content: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            assert member.name.startswith("edgehost-diag/")
            found[member.name.removeprefix("edgehost-diag/")] = file.read().decode()
        return found


def require_clean(parts: dict[str, str]) -> None:
    for name, text in parts.items():
        assert "PLANTED" not in text, f"{name}: {text[text.index('PLANTED') - 200 :][:400]}"


async def secretive_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoHost:
    for name in ("token", "broker.pw", "far.url", "members.key", "mine.key"):
        (tmp_path / name).write_text(f"{planted(name)}\n")
    (tmp_path / "members.key").write_bytes(bytes(range(32)))
    (tmp_path / "token").write_text(f"{planted('token')}-{'x' * 32} admin\n")
    for name in ("token", "members.key"):
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("EDGEHOST_PLANTED", planted("environment"))
    monkeypatch.setenv("MQTT_PASSWORD", planted("environment-password"))
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    config = fleet.config(
        api='token_file = "token"',
        more=f"""
[[remotes]]
name = "broker"
transport = "mqtt"
host = "127.0.0.1"
tcp_port = 1
username = "{planted("user")}"
password_file = "broker.pw"
root = "root.json"
[components.telemetry.config]
upstream = "https://ops:{planted("url-password")}@example.org/?token={planted("url-token")}"
plain = "{planted("component")}"
[security]
key_file = "members.key"
[[sinks]]
name = "events"
to = "file"
path = "data/events.ndjson"
""",
    )
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    await host.start()
    return host


async def test_no_secret_is_in_the_bundle_whether_the_host_runs_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = await secretive_host(tmp_path, monkeypatch)
    file = tmp_path / "diag.tar.gz"
    command = ["diag", "--json", "-c", str(tmp_path / "edgehost.toml"), "-o", str(file)]
    try:
        async with asyncio.timeout(20):
            while not (await host.get("/api/host/status"))["components"]:
                await asyncio.sleep(0.02)
        assert await asyncio.to_thread(main, command) == 0
        parts = unpacked(file.read_bytes())
        assert set(parts) >= PARTS | {"host-log.json", "doctor-here.json", "disk.json", "versions.json"}
        require_clean(parts)
        assert json.loads(parts["ledger.json"])[0]["version"] == "1.0.0"
        assert json.loads(parts["config.json"])["remotes"][1]["password_file"] == "broker.pw"
        assert "serves at" in parts["host-log.json"]
        assert file.stat().st_mode & 0o077 == 0
        answer = await asyncio.to_thread(host.client.request, "GET", "/api/host/diag")
        own = unpacked(answer.body)
        assert set(own) >= PARTS | {"host-log.txt", "disk.json"}
        require_clean(own)
    finally:
        await host.stop()
    assert await asyncio.to_thread(main, command) == 0
    down = unpacked(file.read_bytes())
    assert set(down) >= {
        "config.json",
        "ledger.json",
        "boot.json",
        "generations.json",
        "crashes.json",
        "host.txt",
    }
    assert json.loads(down["ledger.json"])[0]["component"] == "telemetry"
    require_clean(down)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["size_bytes"] == file.stat().st_size


def test_a_bundle_is_bounded_and_tells_texts_apart_from_documents() -> None:
    noise = "\n".join(os.urandom(500).hex() for _ in range(500))
    parts: dict[str, Any] = {f"{number}.txt": noise for number in range(100)}
    content = make_bundle({"log.json": [f"password={planted('log')}"], **parts}, b"[api", at=0.0)
    assert len(content) < 12 * 1024 * 1024
    found = unpacked(content)
    require_clean(found)
    assert found["config.json"] == "{}"
    assert found["0.txt"].startswith("(the beginning is left out)")
