"""Guests in C for journeys with ports, compiled where the tests run."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edgehost.domain.component_file import embed_spec
from edgehost.domain.record import Record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_rooms import PortRooms
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.weather_server import Weather
from tests.required_tools import require_tool

FORECAST = {"direction": "outbound", "adapter": "translator", "backoff_ms": 1}
PLACE = {"place": "Berlin Mitte"}
SERVICES = """
[services.weather]
kind = "http"
url = "{url}"
hosts = ["127.0.0.1:{port}"]
"""
GUESTS = Path(__file__).parent / "port_guests"
LIBRARY = Path(__file__).parents[2] / "examples/guest/c"
FLAGS = [
    "--target=wasm32-unknown-unknown",
    "-mcpu=mvp",
    "-Os",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--stack-first",
    "-Wl,-z,stack-size=16384",
    "-Wl,--strip-all",
]


def compiled(name: str) -> bytes:
    return compiled_file(GUESTS / f"{name}.c")


@functools.cache
def compiled_file(source: Path) -> bytes:
    clang = require_tool("clang")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wasm"
        subprocess.run([clang, *FLAGS, "-I", LIBRARY, "-o", out, source], check=True, timeout=60)
        return out.read_bytes()


def component(guest: str, document: Mapping[str, Any]) -> bytes:
    return embed_spec(compiled(guest), {"version": "1.0.0", **document})


def station(ports: Mapping[str, Any], *, version: str = "1.0.0", **model: Any) -> bytes:
    """The model, with these ports."""
    return component(
        "station",
        {
            "name": "station",
            "version": version,
            "kind": "model",
            "model": {
                "name": "station",
                "endpoint": "stations",
                "commands": {"refresh": {"export": "refresh"}},
                "ports": dict(ports),
                **model,
            },
            "limits": {"deadline_ms": 1500},
            "grants": {"functions": ["port"]},
        },
    )


def translator(name: str = "translator", *, service: str = "", deadline_ms: int = 10_000) -> bytes:
    """The adapter under any name; its answers say which one it was."""
    return component(
        "translator",
        {
            "name": name,
            "kind": "adapter",
            "adapter": {"export": "invoke"} | ({"service": service} if service else {}),
            "limits": {"deadline_ms": deadline_ms, "instances_max": 2},
            "grants": {"functions": ["service"]},
            "config": {"by": name},
        },
    )


def oracle(functions: tuple[str, ...] = ("get", "weak")) -> bytes:
    """The service."""
    return component(
        "oracle", {"name": "oracle", "kind": "service", "service": {"functions": list(functions)}}
    )


@asynccontextmanager
async def running(
    folder: Path, weather: Weather, *components: bytes, more: str = ""
) -> AsyncIterator[RunningHost]:
    """A host that runs these components and has the service 'weather'."""
    fleet = Fleet(folder)
    for content in components:
        await fleet.publish(content)
    config = fleet.config(more=SERVICES.format(url=weather.url, port=weather.port) + more)
    async with fleet.host(config) as host:
        deployer = host.host.control.manager.deployer
        await host.until(lambda: len(deployer.running.all()) == len(components))
        yield host


def rooms_of(host: RunningHost) -> tuple[PortRooms, LiveModel]:
    rooms = host.host.control.ports
    assert rooms is not None
    return rooms, rooms.models.table.named("station")


async def made(host: RunningHost, **data: Any) -> Record:
    document = await host.request("POST", "/api/models/stations", data)
    rooms, model = rooms_of(host)
    return await rooms.keeping.require(model, document["id"])
