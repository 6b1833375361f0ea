"""A real server on loopback over a real store; only the guests are Python functions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.api.access import AccessPolicy
from edgehost.api.app import ApiOptions, make_app
from edgehost.api.server import ServedAt, serving
from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.errors import NotFoundError
from edgehost.domain.record import RevisionClock
from edgehost.ports.record_store import RecordStore
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.record_keeping import RecordKeeping

Guest = Callable[[Any, CallContext], Awaitable[Any]]

TELEMETRY: dict[str, Any] = {
    "name": "telemetry",
    "version": "1.0.0",
    "kind": "model",
    "description": "Readings of a machine",
    "model": {
        "endpoint": "readings",
        "schema": {
            "type": "object",
            "properties": {
                "sensor": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
                "celsius": {"type": "number", "minimum": -90, "maximum": 150},
                "count": {"type": "integer"},
                "ok": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                "place": {"$ref": "#/$defs/place"},
            },
            "required": ["sensor"],
            "additionalProperties": False,
            "$defs": {"place": {"type": "object", "properties": {"room": {"type": "string"}}}},
        },
    },
}

NOTES: dict[str, Any] = {"name": "notes", "version": "0.1.0", "kind": "model", "model": {}}


class Guests:
    """Answers calls to components as the running releases would."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], Guest] = {}
        self.calls: list[tuple[str, str, Any, CallContext]] = []
        self.blamed: list[str] = []

    def blame(self, component: str) -> None:
        self.blamed.append(component)

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = CallContext()
    ) -> bytes:
        question = json.loads(payload) if payload else None
        self.calls.append((component, function, question, context))
        guest = self.functions.get((component, function))
        if guest is None:
            raise NotFoundError(f"{component} has no export {function}.")
        answer = await guest(question, context)
        if isinstance(answer, bytes):
            return answer
        return b"" if answer is None else json.dumps(answer).encode()


@dataclass
class Kept:
    """What the use cases work on."""

    store: RecordStore = field(default_factory=MemoryRecords)
    bus: LocalEventBus = field(default_factory=LocalEventBus)
    models: LiveModels = field(default_factory=LiveModels)
    guests: Guests = field(default_factory=Guests)

    def __post_init__(self) -> None:
        self.keeping = RecordKeeping(
            store=self.store,
            bus=self.bus,
            clock=SystemClock(),
            revisions=RevisionClock("here"),
            components=self.guests,
        )

    def serve(self, document: dict[str, Any], **model: Any) -> ComponentSpec:
        """Bring a component live."""
        spec = read_component_spec(document | {"model": document["model"] | model})
        self.models.serve(spec, digest="0" * 64)
        return spec


@dataclass
class Scene(Kept):
    client: httpx.AsyncClient = field(kw_only=True)
    at: ServedAt = field(kw_only=True)


@asynccontextmanager
async def served(
    *documents: dict[str, Any],
    kept: Kept | None = None,
    host: Any = None,  # as much of a HostControl as the test asks
    access: AccessPolicy | None = None,
    unix_socket: Path | None = None,
    **options: Any,
) -> AsyncIterator[Scene]:
    """These models behind a server; the client speaks over the Unix socket when there is one."""
    kept = kept or Kept()
    for document in documents:
        kept.serve(document)
    app = make_app(
        kept.keeping, kept.models, host=host, access=access, options=ApiOptions(host_name="here", **options)
    )
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(serving(app, tcp_port=0, unix_socket=unix_socket))
        transport = httpx.AsyncHTTPTransport(uds=str(unix_socket)) if unix_socket else None
        base = "http://localhost/api" if unix_socket else f"{at.url}/api"
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=base, transport=transport, trust_env=False, timeout=20)
        )
        yield Scene(kept.store, kept.bus, kept.models, kept.guests, client=client, at=at)


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The response as a problem document with this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["code"] == code, document
    assert document["type"] == f"urn:edgehost:problem:{code}"
    assert document["detail"]
    assert document["title"]
    return document
