"""The API over CoAP, asked by libcoap's client and by aiocoap's."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import cbor2
import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.domain.errors import UnavailableError
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.required_tools import require_tool

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[RunningHost, str]]:
    fleet = Fleet(folder)
    await fleet.publish(telemetry("1.0.0"))
    port = free_port()
    config = fleet.config(api=f"coap_port = {port}")
    async with fleet.host(config) as host:
        await host.live("telemetry", "1.0.0")
        yield host, f"coap://127.0.0.1:{port}/api"


async def asked(
    base: str, code: aiocoap.Code, path: str, body: bytes = b"", **options: Any
) -> aiocoap.Message:
    context = await aiocoap.Context.create_client_context()
    try:
        async with asyncio.timeout(20):
            message = aiocoap.Message(code=code, uri=base + path, payload=body, **options)
            return await context.request(message).response
    finally:
        await context.shutdown()


async def libcoap(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        require_tool("coap-client-notls"), "-B", "8", *words, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_libcoaps_client_finds_creates_and_reads_records(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, base):
        root = base.removesuffix("/api")
        assert "</api/models/telemetry>" in await libcoap("-m", "get", f"{root}/.well-known/core")
        created = json.loads(
            await libcoap("-m", "post", "-t", "50", "-e", json.dumps(READING), f"{base}/models/telemetry")
        )
        assert created["data"]["memory_used_percent"] == 50
        found = json.loads(await libcoap("-m", "get", f"{base}/models/telemetry/{created['id']}"))
        assert found == created


async def test_codes_formats_and_bounds_are_those_of_coap(tmp_path: Path) -> None:
    async with serving(tmp_path) as (host, base):
        created = await asked(
            base, aiocoap.POST, "/models/telemetry", cbor2.dumps(READING), content_format=60, accept=60
        )
        assert created.code is aiocoap.CREATED
        record = cbor2.loads(created.payload)
        path = f"/models/telemetry/{record['id']}"
        assert await host.request("GET", f"/api{path}") == record
        changed = await asked(base, aiocoap.PATCH, path, b'{"load_1m": 2}', content_format=52)
        assert changed.code is aiocoap.CHANGED
        assert json.loads(changed.payload)["data"]["load_1m"] == 2
        command = await asked(base, aiocoap.POST, f"{path}/commands/summary", b"{}", content_format=50)
        assert command.code is aiocoap.CHANGED
        page = await asked(base, aiocoap.GET, "/models/telemetry?limit=1&load_1m__ge=2")
        assert len(json.loads(page.payload)["records"]) == 1
        assert (await asked(base, aiocoap.DELETE, path)).code is aiocoap.DELETED
        refused = {
            aiocoap.NOT_FOUND: (aiocoap.GET, path, b"", {}),
            aiocoap.FORBIDDEN: (aiocoap.GET, "/host/status", b"", {}),
            aiocoap.UNPROCESSABLE_ENTITY: (aiocoap.POST, "/models/telemetry", b'{"load_1m": "x"}', {}),
            aiocoap.BAD_REQUEST: (aiocoap.POST, "/models/telemetry", b"\xff", {"content_format": 60}),
            aiocoap.UNSUPPORTED_CONTENT_FORMAT: (
                aiocoap.POST,
                "/models/telemetry",
                b"x",
                {"content_format": 0},
            ),
            aiocoap.BAD_OPTION: (aiocoap.GET, "/events", b"", {}),
            aiocoap.METHOD_NOT_ALLOWED: (aiocoap.DELETE, "/models", b"", {}),
        }
        for code, (method, where, body, options) in refused.items():
            assert (await asked(base, method, where, body, **options)).code is code


async def test_a_thing_description_names_the_coap_address(tmp_path: Path) -> None:
    async with serving(tmp_path) as (host, base):
        thing = await host.request("GET", "/api/models/telemetry/td")
        assert f"{base}/models/telemetry" in json.dumps(thing)


async def test_a_port_that_is_taken_is_said_at_the_start(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    port = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(UnavailableError, match="CoAP cannot listen"):
            async with fleet.host(fleet.config(api=f"coap_port = {port}")):
                pass
