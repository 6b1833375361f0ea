"""The servers that api_bench puts under load, each in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.api.app import make_app
from edgehost.api.server import serving
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.record import RevisionClock
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents

SCHEMA = {
    "type": "object",
    "required": ["device", "celsius"],
    "properties": {
        "device": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
        "place": {"type": "object", "properties": {"room": {"type": "string"}, "floor": {"type": "integer"}}},
        "celsius": {"type": "number", "minimum": -90, "maximum": 150},
        "pascal": {"type": "number"},
        "at": {"type": "number"},
    },
}


async def _serve_edgehost(folder: Path) -> None:

    models = LiveModels()
    document = {"name": "readings", "version": "1.0.0", "kind": "model", "model": {"schema": SCHEMA}}
    models.serve(read_component_spec(document), digest="")
    async with open_records(folder / "records") as records:
        keeping = RecordKeeping(
            records, LocalEventBus(), SystemClock(), RevisionClock("bench"), RunningComponents()
        )
        async with serving(make_app(keeping, models), tcp_port=0) as at:
            await _until_told(at.tcp_port)


async def _serve_starlette(_folder: Path) -> None:
    """What the framework alone costs: no validation, no disk, no revision, no bounds."""

    items: dict[str, Any] = {}

    async def get(request: Request) -> JSONResponse:
        return JSONResponse(items[request.path_params["id"]])

    async def post(request: Request) -> JSONResponse:
        name = str(len(items))
        items[name] = {"id": name, "data": await request.json()}
        return JSONResponse(items[name], 201, headers={"location": f"/api/models/readings/{name}"})

    app = Starlette(
        routes=[
            Route("/api/models/readings/{id}", get),
            Route("/api/models/readings", post, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, log_level="error", access_log=False, ws="none")
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve(), name="bench.starlette")
        while not server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
            await asyncio.sleep(0.01)
        await _until_told(server.servers[0].sockets[0].getsockname()[1])
        server.should_exit = True
        await task


async def _until_told(tcp_port: int) -> None:
    print(tcp_port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _run(kind: str, folder: Path) -> None:
    serve = {"edgehost": _serve_edgehost, "starlette": _serve_starlette}[kind]
    loop_factory = None
    if importlib.util.find_spec("uvloop") is not None:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(folder))


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]))
