"""Publishing to a real broker, on the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.main import main

TELEMETRY = str(Path(__file__).parents[2] / "examples" / "telemetry" / "telemetry-1.0.0.wasm")


async def test_a_release_reaches_a_broker_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("root", "online"):
        assert main(["keygen", name, "--no-passphrase"]) == 0
    assert main(["remote", "init", "fleet", "--root-key", "root.key", "--online-key", "online.key"]) == 0
    publish = ["publish", "fleet", TELEMETRY, "--key", "online.key", "--json", "--to"]
    async with open_broker() as broker:
        target = f"mqtt://127.0.0.1:{broker.tcp_port}/fleet"
        capsys.readouterr()
        assert await asyncio.to_thread(main, [*publish, target]) == 0
        sent = json.loads(capsys.readouterr().out)["mirrored"][target]
        assert sent["published"] > 0
        again = ["remote", "mirror", "fleet", "--json", "--to", target]
        assert await asyncio.to_thread(main, again) == 0
        assert json.loads(capsys.readouterr().out)["mirrored"][target]["published"] == 0
