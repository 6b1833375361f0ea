"""Following events and logs as people do: lines, until the stream ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from edgehost.cli.moments import moment, span
from tests.cli.unix_http import unix_http

TYPES = "type=edgehost.guest.logged&type=edgehost.events.dropped"


def _event(kind: str, data: dict[str, Any]) -> bytes:
    document = {"type": kind, "subject": "s", "time": "2026-01-01T00:00:00Z", "data": data}
    return f"id: 1\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "edgehost.toml").write_text("[api]\nunix_socket = 's'\n")
    return tmp_path


def test_watch_prints_a_line_an_event_and_says_when_the_host_ends(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = _event("edgehost.record.created", {"model": "m"}) + _event(
        "edgehost.release.moved", {"x": "\x1b[2J"}
    )
    path = "GET /api/events?model=m&type=a"
    with unix_http(folder / "s", {path: (200, "text/event-stream", stream)}):
        assert main(["watch", "-c", str(folder), "--model", "m", "--type", "a"]) == 0
        captured = capsys.readouterr()
        assert captured.out.count("\n") == 2
        assert "record.created" in captured.out
        assert "\x1b" not in captured.out
        assert captured.err == "edgehost: the host has ended the stream.\n"
        assert main(["watch", "-c", str(folder), "--model", "m", "--type", "a", "--count", "1"]) == 0
        assert capsys.readouterr().out.count("\n") == 1


def test_logs_follow_without_repeating_what_was_remembered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"at": 1.0, "component": "a", "level": "info", "message": "old"}
    new = {"at": 2.0, "component": "a", "level": "warn", "message": "new"}
    other = {"at": 2.0, "component": "b", "level": "warn", "message": "of another"}
    stream = b"".join(
        (
            _event("edgehost.guest.logged", old),
            _event("edgehost.guest.logged", new),
            _event("edgehost.guest.logged", other),
            _event("edgehost.events.dropped", {"count": 7}),
        )
    )
    answers = {
        f"GET /api/events?{TYPES}": (200, "text/event-stream", stream),
        "GET /api/host/logs?component=a": (200, "application/json", json.dumps({"lines": [old]}).encode()),
    }
    with unix_http(folder / "s", answers):
        assert main(["logs", "-f", "a", "-c", str(folder)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[-1] for line in captured.out.splitlines()] == ["old", "new"]
    assert "7 lines came too fast" in captured.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h"), (-1, "-"), ("x", "-")],
)
def test_spans_are_for_people(seconds: object, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("never", [0, -5, None, 1e300, "soon"])
def test_a_moment_that_never_was_is_a_dash(never: object) -> None:
    assert moment(never) == "-"
