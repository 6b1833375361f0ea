"""Whatever is sent, the answer is never a fault of the host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from edgehost.api.app import HostApp, make_app
from tests.api.scene import NOTES, TELEMETRY, Kept

_SETTINGS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_NAMES = st.sampled_from(["id", "sensor", "celsius", "count", "ok", "tags", "place", "room", ""]) | st.text(
    max_size=6
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "id", "\ud800", "\x00", "x" * 2000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_BODIES = (
    st.binary(max_size=80)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(_NAMES, _JSON, max_size=5).map(lambda value: json.dumps(value).encode())
)
_METHODS = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "x"])
_STEPS = st.sampled_from(
    [
        "api",
        "models",
        "readings",
        "notes",
        "a",
        "commands",
        "shout",
        "events",
        "openapi.json",
        "host",
        "",
        "..",
        "é",
        "\x00",
    ]
)
_QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "limit",
                "cursor",
                "order",
                "sensor",
                "celsius__ge",
                "place.room",
                "tags",
                "%ff",
                "a.b.c",
                "__",
                "__ge",
            ]
        ),
        st.sampled_from(
            ["1", "asc", "warm", "", "%ff", "true", "1e999", "AQAAAA", "[1]", '"', "NaN", "9" * 30]
        ),
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode())
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"content-type",
                b"if-match",
                b"if-none-match",
                b"idempotency-key",
                b"content-length",
                b"content-encoding",
            ]
        ),
        st.sampled_from(
            [
                b"application/json",
                b'"a"',
                b"*",
                b'"a", W/"b"',
                b'"',
                b",",
                b"\xff",
                b"",
                b"5",
                b"99999999999999999999",
                b"-1",
                b"k",
            ]
        ),
    ),
    max_size=4,
)


@pytest.fixture
def app() -> HostApp:
    kept = Kept()
    kept.serve(TELEMETRY)
    kept.serve(NOTES, commands={"shout": {}})

    async def shout(question: Any, _context: object) -> Any:
        return {"result": question}

    kept.guests.functions[("notes", "shout")] = shout
    return make_app(kept.keeping, kept.models)


async def answer(
    app: HostApp,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: list[tuple[bytes, bytes]],
    body: bytes = b"",
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request as an ASGI server hands it over, without the server's own checks in front."""
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return incoming.pop() if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5),
    }
    await app(scope, receive, send)
    if not sent:
        return 499, {}, b""  # the client was gone
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


def require_sound(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    assert status < 500
    if status >= 400 and status != 499:
        assert headers[b"content-type"] == b"application/problem+json"
        assert json.loads(body)["status"] == status


@_SETTINGS
@given(_BODIES, st.sampled_from(["/api/models/readings", "/api/models/notes"]))
async def test_any_body_is_stored_or_refused(app: HostApp, body: bytes, path: str) -> None:
    json_type = [(b"content-type", b"application/json")]
    status, headers, text = await answer(app, "POST", path, headers=json_type, body=body)
    require_sound(status, headers, text)
    if status == 201:
        item = headers[b"location"].decode()
        assert (await answer(app, "GET", item, headers=[]))[0] == 200
        for method, below in (("PATCH", ""), ("POST", "/commands/shout")):
            require_sound(*await answer(app, method, item + below, headers=json_type, body=body))


@_SETTINGS
@given(st.tuples(_METHODS, st.lists(_STEPS, max_size=6)), _QUERIES, _HEADERS, _BODIES)
async def test_any_request_is_answered_or_refused(
    app: HostApp, target: tuple[str, list[str]], query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    method, steps = target
    for path in ("/" + "/".join(steps), "/api/models/" + "/".join(steps)):
        require_sound(*await answer(app, method, path, query=query, headers=headers, body=body))


@_SETTINGS
@given(_QUERIES | st.binary(max_size=30))
async def test_any_query_is_answered_or_refused(app: HostApp, query: bytes) -> None:
    for path in ("/api/models/readings", "/api/models/notes"):
        require_sound(*await answer(app, "GET", path, query=query, headers=[]))


async def test_other_protocols_are_not_known(app: HostApp) -> None:
    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(_message: Message) -> None:
        pytest.fail("it was answered")

    with pytest.raises(RuntimeError):
        await app({"type": "lifespan"}, receive, send)
