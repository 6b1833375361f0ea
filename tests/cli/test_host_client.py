"""The client for the host's socket, against a real server on a real socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edgehost.cli import host_client
from edgehost.cli.host_client import HostClient, StreamedEvent
from edgehost.domain.errors import (
    BusyError,
    EdgehostError,
    NotFoundError,
    QuarantinedReleaseError,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from tests.cli.unix_http import unix_http

JSON = "application/json"
PROBLEM = "application/problem+json"


def _events(folder: Path) -> AbstractContextManager[Iterator[StreamedEvent]]:
    return HostClient(folder / "s").events("/e")


def test_an_answer_is_json(tmp_path: Path) -> None:
    with unix_http(tmp_path / "s", {"GET /host/status?a=1&b=x%26y": (200, JSON, b'{"name": "pump"}')}):
        answer = HostClient(tmp_path / "s").request("GET", "/host/status", query={"a": 1, "b": "x&y"})
    assert answer.json() == {"name": "pump"}


def test_a_body_goes_as_json(tmp_path: Path) -> None:
    with unix_http(tmp_path / "s", {"POST /x": (200, JSON, b"")}) as served:
        assert HostClient(tmp_path / "s").request("POST", "/x", body={"a": 1}).json() is None
    asked, body, headers = served.requests[0]
    assert asked == "POST /x"
    assert json.loads(body) == {"a": 1}
    assert headers["Content-Type"] == JSON


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            (
                409,
                PROBLEM,
                b'{"code": "quarantined-release", "detail": "It misbehaved.", "hint": "Lift it."}',
            ),
            QuarantinedReleaseError,
            "It misbehaved. Lift it.",
        ),
        ((404, "text/plain", b"no"), NotFoundError, "The host answered 404."),
        ((503, JSON, b"[]"), UnavailableError, "The host answered 503."),
        ((500, JSON, b'{"title": "Oops"}'), EdgehostError, "Oops"),
        ((400, PROBLEM, b'{"detail": "Bad.", "code": "of-tomorrow"}'), RefusedError, "Bad."),
    ],
)
def test_a_problem_document_is_the_error_it_was(
    tmp_path: Path, answer: tuple[int, str, bytes], kind: type[EdgehostError], message: str
) -> None:
    with unix_http(tmp_path / "s", {"GET /x": answer}), pytest.raises(kind) as problem:
        HostClient(tmp_path / "s").request("GET", "/x")
    assert str(problem.value) == message


def test_no_host_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="edgehost run"):
        HostClient(tmp_path / "none").request("GET", "/")


def test_a_socket_left_by_a_dead_host_is_no_host(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(UnavailableError, match="No host runs here"):
        HostClient(tmp_path / "s").request("GET", "/")


def test_a_host_that_talks_nonsense_is_reported(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client = HostClient(tmp_path / "s")
        with pytest.raises(TimeoutError):
            client.request("GET", "/", timeout_s=0.05)
        connection, _ = server.accept()
        connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_that_comes_before_the_request_is_heard(tmp_path: Path, method: str) -> None:
    problem = b'{"code": "busy", "detail": "All connections are taken."}'
    head = f"HTTP/1.1 503 Busy\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(problem)}\r\n\r\n"

    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.sendall(head.encode() + problem)
        connection.close()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        refusing = threading.Thread(target=refuse, args=(server,))
        refusing.start()
        with pytest.raises(BusyError, match="All connections"):
            HostClient(tmp_path / "s").request(method, "/x", content=b"x" * 2_000_000)
        refusing.join()


def test_an_endless_answer_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_client, "_MOST_ANSWER_BYTES", 10)
    with unix_http(tmp_path / "s", {"GET /x": (200, JSON, b"x" * 11)}), pytest.raises(TooLargeError):
        HostClient(tmp_path / "s").request("GET", "/x")


def test_events_come_one_by_one(tmp_path: Path) -> None:
    text = b": hello\n\nid: 7\nevent: a.b\ndata: {\ndata: }\n\nretry: 5\ndata:x\r\n\r\nevent: cut"
    with unix_http(tmp_path / "s", {"GET /e": (200, "text/event-stream", text)}), _events(tmp_path) as stream:
        events = list(stream)
    assert events == [StreamedEvent("a.b", "7", "{\n}"), StreamedEvent("", "7", "x")]


def test_a_refused_stream_is_the_error_it_was(tmp_path: Path) -> None:
    refusal = (404, PROBLEM, b'{"code": "not-found", "detail": "No such model."}')
    with (
        unix_http(tmp_path / "s", {"GET /e": refusal}),
        pytest.raises(NotFoundError, match="No such model"),
        _events(tmp_path),
    ):
        pass


def test_an_endless_event_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_client, "_MOST_EVENT_BYTES", 20)
    stream = b"data: 0123456789\ndata: 0123456789\n\n"
    with (
        unix_http(tmp_path / "s", {"GET /e": (200, "text/event-stream", stream)}),
        _events(tmp_path) as events,
        pytest.raises(TooLargeError),
    ):
        list(events)
