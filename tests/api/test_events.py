"""Server-sent events: what is told, to whom, and how a stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.api import event_stream
from edgehost.api.app import make_app
from edgehost.api.server import serving
from edgehost.domain.events import EventsDropped, GuestLogged
from tests.api.scene import NOTES, TELEMETRY, Kept, Scene, problem, served


class Follower:
    """Reads events one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> list[str]:
        """The lines up to the next empty one."""
        lines: list[str] = []
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line:
                    return lines
                lines.append(line)
        return lines

    async def next(self) -> dict[str, Any]:
        """The next event's document; comments are passed over."""
        while True:
            block = await self.block()
            if not block:
                raise EOFError
            data = [line.removeprefix("data: ") for line in block if line.startswith("data: ")]
            if data:
                document: dict[str, Any] = json.loads(data[0])
                assert f"event: {document['type']}" in block
                return document


@asynccontextmanager
async def following(scene: Scene, query: str = "") -> AsyncIterator[Follower]:
    async with scene.client.stream("GET", f"/events{query}") as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        follower = Follower(response)
        assert await follower.block() == [": open", "retry: 2000"]
        yield follower


async def test_changes_of_records_are_told_as_cloud_events() -> None:
    async with served(NOTES) as scene, following(scene) as follower:
        created = (await scene.client.post("/models/notes", json={"text": "zwölf"})).json()
        event = await follower.next()
        assert event["specversion"] == "1.0"
        assert event["source"] == "urn:edgehost:host:here"
        assert event["type"] == "edgehost.record.created"
        assert event["subject"] == f"notes/{created['id']}"
        assert event["time"].endswith("Z")
        assert event["id"] == f"record.created-{created['revision']}"
        assert event["data"] == {
            "at": created["created_at"],
            "model": "notes",
            "id": created["id"],
            "revision": created["revision"],
            "domain": "notes",
            "data": {"text": "zwölf"},
        }
        await scene.client.patch(f"/models/notes/{created['id']}", json={"text": "x"})
        assert (await follower.next())["type"] == "edgehost.record.updated"
        await scene.client.delete(f"/models/notes/{created['id']}")
        assert (await follower.next())["type"] == "edgehost.record.deleted"


async def test_a_stream_is_filtered_by_model_and_type() -> None:
    async with (
        served(NOTES, TELEMETRY) as scene,
        following(scene, "?model=telemetry") as of_model,
        following(scene, "?type=edgehost.guest.*&type=edgehost.record.deleted") as of_types,
    ):
        await scene.client.post("/models/notes", json={"id": "a"})
        scene.bus.publish(GuestLogged(at=1.0, component="c", level="info", message="hello"))
        await scene.client.post("/models/readings", json={"sensor": "a"})
        await scene.client.delete("/models/notes/a")
        assert (await of_model.next())["data"]["model"] == "telemetry"
        assert (await of_types.next())["data"]["message"] == "hello"
        assert (await of_types.next())["type"] == "edgehost.record.deleted"


async def test_text_of_a_guest_that_is_no_unicode_does_not_end_the_stream() -> None:
    async with served() as scene, following(scene) as follower:
        scene.bus.publish(GuestLogged(at=1.0, component="c", level="info", message="\udcff\n\n"))
        scene.bus.publish(GuestLogged(at=2.0, component="c", level="info", message="b"))
        assert (await follower.next())["data"]["message"] == "\udcff\n\n"
        assert (await follower.next())["data"]["message"] == "b"


async def test_a_mistaken_filter_is_refused() -> None:
    async with served() as scene:
        problem(await scene.client.get("/events?modle=a"), 400, "invalid-query")
        problem(await scene.client.get("/events/a"), 400, "invalid-query")
        problem(await scene.client.post("/events"), 405, "method-not-allowed")


async def test_streams_are_bounded_and_given_back() -> None:
    async with served(max_streams=1) as scene:
        async with following(scene):
            problem(await scene.client.get("/events"), 503, "busy")
        async with asyncio.timeout(20):
            while (await scene.client.head("/events")).status_code == 503:
                pass  # each look gives the server a turn
        async with following(scene):
            pass


async def test_silence_is_broken_by_heartbeats() -> None:
    async with served(heartbeat_s=0.01) as scene, following(scene) as follower:
        assert await follower.block() == [": still here"]
        assert await follower.block() == [": still here"]


async def test_a_stream_ends_with_the_server() -> None:
    kept = Kept()
    app = make_app(kept.keeping, kept.models)
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as client:
        async with serving(app, tcp_port=0) as at:
            response = await client.send(client.build_request("GET", f"{at.url}/api/events"), stream=True)
            follower = Follower(response)
            await follower.block()
        assert await follower.block() == []


async def test_a_slow_client_is_told_what_it_lost() -> None:
    async with served(kept=Kept(bus=LocalEventBus(backlog=4))) as scene, following(scene) as follower:
        for number in range(50):  # the stream has no turn in between
            scene.bus.publish(GuestLogged(at=float(number), component="c", level="info", message=str(number)))
        first = await follower.next()
        assert first["type"] == EventsDropped.type
        assert first["data"]["count"] == 46
        assert [(await follower.next())["data"]["message"] for _ in range(4)] == ["46", "47", "48", "49"]


async def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_S", 0.1)
    async with served(max_streams=1) as scene:
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.at.tcp_port, limit=1024)
        writer.write(b"GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"retry: 2000\n\n")
        async with asyncio.timeout(30):
            while (await scene.client.head("/events")).status_code == 503:
                scene.bus.publish(GuestLogged(at=1.0, component="c", level="info", message="x" * 1_000_000))
        writer.close()


async def test_a_pattern_and_the_last_events_can_be_asked_for() -> None:
    async with served(NOTES) as scene:
        for text in "abc":
            await scene.client.post("/models/notes", json={"text": text})
        async with scene.client.stream("GET", "/events?on=edgehost.record.*&replay=2") as stream:
            told = [json.loads(line[6:]) async for line in _lines(stream, 2)]
        assert [event["data"]["data"]["text"] for event in told] == ["b", "c"]
        for wrong in ("on=a..b", "on=", "replay=-1", "replay=1001", "replay=x", "since=1"):
            problem(await scene.client.get(f"/events?{wrong}"), 400, "invalid-query")


async def _lines(stream: httpx.Response, count: int) -> AsyncIterator[str]:
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield line
            count -= 1
            if not count:
                return
