"""The commands that talk to a host, against a real one in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgehost.cli.host_client import HostClient
from edgehost.cli.main import main
from tests.json_commands import Edgehost, json_commands

EXAMPLES = Path(__file__).parents[2] / "examples"
TELEMETRY = str(EXAMPLES / "telemetry" / "telemetry-1.0.0.wasm")
TELEMETRY_NEXT = str(EXAMPLES / "telemetry-1.1.0" / "telemetry-1.1.0.wasm")
READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


@contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgehost", "run"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if " serves at " in line:
                break
        else:
            pytest.fail("the host ended before it served")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        tail = process.stderr.read()
        process.stderr.close()
        assert process.wait(20) == 0, tail
        assert tail.endswith("edgehost: stopped.\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A host's folder with a remote in it, telemetry 1.0.0 on offer, and the host running."""
    folder = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("root", "online"):
            assert main(["keygen", name, "--no-passphrase"]) == 0
        assert main(["remote", "init", "fleet", "--root-key", "root.key", "--online-key", "online.key"]) == 0
        assert main(["publish", "fleet", TELEMETRY, "--key", "online.key"]) == 0
    (folder / "edgehost.toml").write_text(
        """
        [host]
        name = "pump-7"
        [api]
        tcp_port = 0
        [probation]
        seconds = 0
        [[remotes]]
        name = "fleet"
        root = "fleet/metadata/1.root.json"
        transport = "folder"
        path = "fleet"
        """
    )
    with _running(folder):
        yield folder


@pytest.fixture
def edgehost(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgehost:
    """Runs a command beside the host; gives its JSON, or its error's when another exit code is expected."""
    monkeypatch.chdir(folder)

    run = json_commands(capsys)
    _until(lambda: bool(run("get")["models"]))
    return run


def _until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_status_and_ps_name_what_runs(
    edgehost: Edgehost, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    status = edgehost("status")
    assert status["name"] == "pump-7"
    assert [component["component"] for component in status["components"]] == ["telemetry"]
    instances = edgehost("ps")["instances"]
    assert {instance["component"] for instance in instances} == {"telemetry"}
    assert all(Path(f"/proc/{instance['pid']}").exists() for instance in instances)
    assert main(["status", "-c", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "pump-7" in text
    assert "COMPONENT" in text
    assert "PINNED" in text
    assert "False" not in text
    assert main(["ps"]) == 0
    assert "telemetry" in capsys.readouterr().out


def test_refresh_looks_at_the_remotes_first(edgehost: Edgehost) -> None:
    before = edgehost("status")["remotes"][0]["checked_at"]
    after = edgehost("status", "--refresh")["remotes"][0]
    assert after["state"] == "ok"
    assert after["checked_at"] > before


def test_a_component_is_called_by_its_name(edgehost: Edgehost) -> None:
    payload = json.dumps({"event": "create", "id": "a", "data": READING})
    answer = edgehost("call", "telemetry", "validate", "--input", payload)
    assert json.loads(answer["output"])["data"]["memory_used_percent"] == 50.0
    assert "'telemetry'" in edgehost("call", "telemetri", "validate", code=5)["hint"]
    assert edgehost("call", "telemetry", "nope", code=5)["code"] == "not-found"
    assert edgehost("call", "telemetry", "validate", "--input", "nonsense", code=1)["code"] == "guest-failed"


def test_records_are_read_by_page_condition_and_id(
    edgehost: Edgehost, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = HostClient(folder / "data" / "edgehost.sock")
    for number in range(5):
        host.request("POST", "/api/models/telemetry", body={**READING, "id": f"r{number}", "load_1m": number})

    def ids(*words: str) -> list[str]:
        assert main(["get", "telemetry", *words, "--json"]) == 0
        return [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]

    assert ids("--limit", "2") == ["r0", "r1"]
    assert ids("--desc", "--limit", "1") == ["r4"]
    assert ids("load_1m__ge=3", "--all") == ["r3", "r4"]
    assert edgehost("get", "telemetry", "r2")["data"]["load_1m"] == 2
    assert edgehost("get", "telemetry", "none", code=5)["code"] == "not-found"
    assert "load_1m" in edgehost("get", "telemetry", "lod=1", code=1)["hint"]
    assert edgehost("get", "/api/openapi.json")["openapi"].startswith("3.1")
    assert main(["get", "telemetry"]) == 0
    assert capsys.readouterr().out.startswith("r0  ")
    assert main(["get", "telemetry", "load_1m=99"]) == 0
    assert capsys.readouterr().err == "No record matches.\n"
    for words in (["telemetry", "a", "b"], ["telemetry", "load_1m=1", "x"], ["telemetry", "--limit", "0"]):
        assert edgehost("get", *words, code=2)["code"] == "usage"


def test_events_and_logs_are_followed(
    edgehost: Edgehost, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = subprocess.Popen(
        [sys.executable, "-m", "edgehost", "watch", "--json", "--type", "edgehost.remote.*", "--count", "1"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    while watcher.poll() is None:
        edgehost("status", "--refresh")
    assert watcher.stdout is not None
    with watcher:
        event = json.loads(watcher.stdout.read())
    assert event["type"] == "edgehost.remote.checked"
    assert watcher.returncode == 0
    assert main(["logs", "nobody"]) == 0
    assert capsys.readouterr().err == "Nothing was logged by 'nobody'.\n"


def test_a_new_release_is_followed_rolled_back_and_deployed_by_hand(
    edgehost: Edgehost, capsys: pytest.CaptureFixture[str]
) -> None:
    edgehost("publish", "fleet", TELEMETRY_NEXT, "--key", "online.key")

    def live() -> str:
        return str(edgehost("status")["components"][0]["version"])

    _until(lambda: live() == "1.1.0")
    rolled_back = edgehost("rollback", "telemetry")
    assert (rolled_back["version"], rolled_back["stage"]) == ("1.0.0", "live")
    assert live() == "1.0.0"
    assert edgehost("deploy", "telemetry@1.1.0", code=1)["code"] == "quarantined-release"
    assert main(["deploy", "telemetry@1.1.0", "--lift-quarantine"]) == 0
    assert capsys.readouterr().out == "telemetry 1.1.0 is live.\n"
    releases = edgehost("history", "telemetry")["releases"]
    assert {release["version"] for release in releases} == {"1.0.0", "1.1.0"}
    assert main(["history"]) == 0
    assert "1.1.0" in capsys.readouterr().out
    assert edgehost("deploy", "telemetry@9.9.9", code=5)
    assert edgehost("deploy", "telemetry@1.0.0", "--lift-quarantine", code=5)
    assert edgehost("history", "nope", code=5)


def test_doctor_asks_the_running_host_too(edgehost: Edgehost) -> None:
    report = edgehost("doctor")
    assert report["healthy"]
    subjects = {finding["subject"]: finding["state"] for finding in report["findings"]}
    assert subjects["host"] == "ok"
    assert subjects["host: remote fleet"] == "ok"
    assert subjects["sandbox"] == "ok"


def test_a_file_that_broke_meanwhile_hides_no_running_host(
    edgehost: Edgehost, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "edgehost.toml"
    whole = file.read_text()
    file.write_text("x [\n")
    try:
        for words in (["status"], ["ps"], ["logs"], ["history"], ["deployment", "ls"], ["config", "ls"]):
            assert main(words) == 0, words
            told = [line for line in capsys.readouterr().err.splitlines() if "edgehost.toml" in line]
            assert len(told) == 1, words
            assert "is no TOML" in told[0]
            assert "last good configuration" in told[0]
        assert edgehost("status")["name"] == "pump-7"  # JSON has no word beside it
    finally:
        file.write_text(whole)


def test_a_second_host_on_the_same_data_is_refused(edgehost: Edgehost, folder: Path) -> None:
    del edgehost
    done = subprocess.run(
        [sys.executable, "-m", "edgehost", "run"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3
    assert "in use by another host" in done.stderr
    assert "Traceback" not in done.stderr
