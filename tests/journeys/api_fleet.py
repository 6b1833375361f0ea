"""A component with everything that the API generates routes for, and a host that serves it over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from edgehost.domain.component_file import embed_spec
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import compiled_file

GUESTS = Path(__file__).parent / "api_guests"

MODEL: dict[str, Any] = {
    "name": "kiosk",
    "endpoint": "kiosks",
    "schema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 64},
            "seats": {"type": "integer", "minimum": 0, "maximum": 1000},
            "open": {"type": "boolean"},
            "town": {"type": "string", "pattern": "^[a-z]{1,16}$"},
            "near": {"type": "string", "maxLength": 64},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    "commands": {"echo": {"description": "Say it again"}},
    "ports": {
        "arrived": {"direction": "inbound", "export": "echo", "methods": ["POST", "GET"]},
        "bell": {"direction": "inbound", "export": "echo", "path": "kiosk/bell/{id}", "methods": ["PUT"]},
    },
    "relations": {
        "neighbour": {"model": "kiosk", "type": "many_to_one", "foreign_key": "near"},
        "neighbours": {"model": "kiosk", "type": "one_to_many", "foreign_key": "near"},
    },
    "source": {"text": ["name"], "indexes": ["town"]},
    "routes": [
        {"path": "kiosk/menu/{kind}", "export": "menu"},
        {"path": "kiosk/orders", "export": "mirror", "methods": ["POST", "PUT"]},
        {"path": "kiosk", "export": "page"},
    ],
}
ODD_ROUTES = [
    {"path": "kiosk/nothing", "export": "nothing"},
    {"path": "kiosk/rude", "export": "rude"},
    {"path": "kiosk/confused", "export": "confused"},
    {"path": "kiosk/grumpy", "export": "grumpy"},
]


def kiosk(version: str = "1.0.0", *, component: str = "kiosk", **model: Any) -> bytes:
    return embed_spec(
        compiled_file(GUESTS / "kiosk.c"),
        {
            "name": component,
            "version": version,
            "kind": "model",
            "description": "A kiosk",
            "model": MODEL | model,
            "limits": {"deadline_ms": 2000, "instances_max": 2},
        },
    )


@asynccontextmanager
async def served_kiosk(
    tmp_path: Path, *contents: bytes, more: str = "", live: tuple[str, str] = ("kiosk", "1.0.0")
) -> AsyncIterator[tuple[Fleet, RunningHost, httpx.AsyncClient]]:
    """A host with these components live, and a client of its TCP port."""
    fleet = Fleet(tmp_path)
    for content in contents or (kiosk(),):
        await fleet.publish(content)
    async with fleet.host(fleet.config(more=more)) as host:
        await host.live(*live)
        base = f"{host.host.served_at.url}/api"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=20) as client:
            yield fleet, host, client
