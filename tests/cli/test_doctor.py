"""Doctor finds what is wrong, says what to do, and is content with what is only not there yet."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli import machine_checks
from edgehost.cli.file_checks import check_secrets
from edgehost.cli.finding import Finding, State
from edgehost.cli.machine_checks import check_disk, check_versions
from edgehost.cli.main import main
from edgehost.cli.network_checks import check_host, check_remotes
from edgehost.config import Config, read_config
from edgehost.domain.disk_room import DiskRoom
from tests.cli.unix_http import unix_http

Remote = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    def make(**tables: Any) -> Config:
        tables.setdefault("api", {}).setdefault("tcp_port", 0)
        return read_config(tables, folder=tmp_path)

    return make


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def _root(path: Path, *, days: int = 1, kind: str = "root") -> Path:
    expires = datetime.now(UTC) + timedelta(days=days)
    signed = {"_type": kind, "version": 3, "expires": expires.isoformat()}
    path.write_text(json.dumps({"signed": signed}))
    return path


def _states(findings: Iterator[Finding]) -> list[State]:
    return [finding.state for finding in findings]


def test_every_finding_that_is_not_good_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEHOST_CONFIG", raising=False)
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"]
    assert all(finding["advice"] for finding in report["findings"] if finding["state"] == "wrong")
    assert "configuration" in {finding["subject"] for finding in report["findings"]}


@pytest.mark.parametrize(("content", "what"), [("[hots]", "hots is unknown"), ("", "")])
def test_a_configuration_that_does_not_hold_is_wrong(
    tmp_path: Path, content: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edgehost.toml"
    path.write_text(content or "[host\n")
    assert main(["doctor", "-c", str(path)]) == 1
    assert what in capsys.readouterr().out
    assert main(["doctor", "-c", str(tmp_path / "none.toml")]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_versions_are_named() -> None:
    assert "edgehost 0." in next(check_versions()).what


def test_a_clock_in_the_past_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "EARLIEST", datetime(9999, 1, 1, tzinfo=UTC))
    finding = machine_checks.check_clock()
    assert finding.state is State.NOTE
    assert "in the past" in finding.what


def test_a_clock_that_somebody_keeps_is_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine_checks, "EARLIEST", datetime(2000, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(machine_checks, "_REAL_TIME_CLOCK", tmp_path)
    assert machine_checks.check_clock().state is State.GOOD
    monkeypatch.setattr(machine_checks, "_REAL_TIME_CLOCK", tmp_path / "none")
    monkeypatch.setattr(machine_checks, "_SYNCHRONISED", ())
    assert machine_checks.check_clock().state is State.NOTE


def test_room_on_the_disk(config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _states(check_disk(config())) == [State.GOOD, State.GOOD]
    assert _states(check_disk(config(limits={"shelf_bytes": 1024**4}))) == [State.NOTE, State.GOOD]
    monkeypatch.setattr(machine_checks, "_SPARE_BYTES", 1 << 62)
    assert _states(check_disk(config())) == [State.WRONG, State.GOOD]
    monkeypatch.setattr(machine_checks, "_SPARE_BYTES", 1)
    for room, state in (
        (DiskRoom(1 << 40, 1 << 41, 5, 1000), State.WRONG),
        (DiskRoom(1 << 40, 1 << 41, 1, 1, read_only=True), State.WRONG),
        (DiskRoom(1 << 40, 1 << 41, 0, 0), State.GOOD),
    ):
        monkeypatch.setattr(machine_checks, "disk_room", lambda _path, room=room: room)
        assert _states(check_disk(config()))[0] is state


def test_a_data_folder_that_cannot_be_one(config: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _states(check_disk(config(host={"data": "file/data"}))) == [State.WRONG]
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        assert _states(check_disk(config(host={"data": "closed/data"}))) == [State.WRONG]


def test_secrets_are_read_by_their_owner_alone(config: Callable[..., Config], tmp_path: Path) -> None:
    settings = config(
        api={"token_file": "token"},
        remotes=[
            {"name": "a", "root": "r", "transport": "mqtt", "host": "localhost", "password_file": "password"},
            {"name": "b", "root": "r", "transport": "folder", "path": "p"},
        ],
    )
    assert _states(check_secrets(settings)) == [State.WRONG, State.WRONG]
    for name, mode in (("token", 0o600), ("password", 0o644)):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(mode)
    assert _states(check_secrets(settings)) == [State.GOOD, State.NOTE]
    (tmp_path / "token").unlink()
    (tmp_path / "token").mkdir()
    assert _states(check_secrets(settings)) == [State.WRONG, State.NOTE]


def test_without_a_host_its_address_must_be_free(
    config: Callable[..., Config], listener: socket.socket
) -> None:
    taken = config(api={"tcp_port": listener.getsockname()[1]})
    assert _states(check_host(taken)) == [State.NOTE, State.WRONG]
    listener.close()
    assert _states(check_host(taken)) == [State.NOTE, State.GOOD]
    assert _states(check_host(config(api={"listen": "", "tcp_port": 1}))) == [State.NOTE]


def test_a_host_that_does_not_answer_is_wrong(
    config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgehost.cli.network_checks._ANSWER_S", 0.05)
    (tmp_path / "data").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "data" / "edgehost.sock"))
        server.listen()
        assert _states(check_host(config())) == [State.WRONG]


def test_what_a_host_finds_itself_counts(config: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = {"check": "records", "state": "failed", "detail": "damaged", "hint": "look"}
    answers = {
        "GET /api/host/status": (200, "application/json", b'{"name": "pump"}'),
        "GET /api/host/doctor": (200, "application/json", json.dumps({"findings": [found]}).encode()),
    }
    with unix_http(tmp_path / "data" / "edgehost.sock", answers):
        assert _states(check_host(config())) == [State.GOOD, State.WRONG]
        answers["GET /api/host/doctor"] = (500, "application/json", b"{}")
        assert _states(check_host(config())) == [State.WRONG]


def test_no_remote_is_a_note(config: Callable[..., Config]) -> None:
    assert _states(check_remotes(config())) == [State.NOTE]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (None, State.WRONG),
        ("nonsense", State.WRONG),
        ('{"signed": []}', State.WRONG),
        ('{"signed": {"_type": "root", "expires": "someday"}}', State.WRONG),
    ],
)
def test_a_pinned_root_must_be_a_root(
    config: Callable[..., Config], tmp_path: Path, text: str | None, state: State
) -> None:
    if text is not None:
        (tmp_path / "root.json").write_text(text)
    remote: Remote = {"name": "a", "root": "root.json", "transport": "folder", "path": "none"}
    assert _states(check_remotes(config(remotes=[remote])))[0] is state


def test_roots_expire_and_are_of_their_type(config: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "repository" / "metadata").mkdir(parents=True)
    (tmp_path / "repository" / "metadata" / "timestamp.json").touch()
    remote: Remote = {"name": "a", "root": "root.json", "transport": "folder", "path": "repository"}
    settings = config(remotes=[remote])
    _root(tmp_path / "root.json")
    assert _states(check_remotes(settings)) == [State.GOOD, State.GOOD]
    _root(tmp_path / "root.json", days=-1)
    assert _states(check_remotes(settings)) == [State.NOTE, State.GOOD]
    _root(tmp_path / "root.json", kind="snapshot")
    assert _states(check_remotes(settings)) == [State.WRONG, State.GOOD]


def test_a_broker_answers_or_does_not(
    config: Callable[..., Config], tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _root(tmp_path / "root.json")
    remote: Remote = {
        "name": "a",
        "root": "root.json",
        "transport": "mqtt",
        "host": "127.0.0.1",
        "tcp_port": listener.getsockname()[1],
    }
    with monkeypatch.context() as patched:
        patched.setattr("edgehost.cli.broker_check._ANSWER_S", 0.2)
        silent = list(check_remotes(config(remotes=[remote])))
    assert [each.state for each in silent] == [State.GOOD, State.WRONG]
    assert "does not let a host without a user name in" in silent[1].what
    missing_ca = config(remotes=[{**remote, "tls": True, "ca_file": "none.pem"}])
    assert _states(check_remotes(missing_ca)) == [State.GOOD, State.WRONG]
    listener.close()
    assert _states(check_remotes(config(remotes=[remote]))) == [State.GOOD, State.WRONG]
