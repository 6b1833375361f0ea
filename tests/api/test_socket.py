"""One WebSocket for events and calls, as clients use it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from edgehost.api.access import AccessPolicy
from edgehost.api.web_socket import MAX_CALLS, MAX_SUBSCRIPTIONS
from edgehost.ports.sandbox import CallContext
from tests.api.scene import NOTES, TELEMETRY, Scene, served

TOKEN = "t" * 40


@asynccontextmanager
async def opened(scene: Scene, **options: Any) -> AsyncIterator[Socket]:
    async with connect(scene.at.url.replace("http", "ws") + "/api/ws", **options) as connection:
        yield Socket(connection)


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def answer(self, identity: int | str) -> dict[str, Any]:
        """The answer with this id; events on the way are kept."""
        async with asyncio.timeout(20):
            while True:
                message: dict[str, Any] = json.loads(await self.connection.recv())
                if message.get("id") == identity and "sub" not in message:
                    return message
                assert "sub" in message, message
                self.events.append(message)

    async def ask(self, identity: int | str, **message: Any) -> Any:
        await self.send(id=identity, **message)
        answer = await self.answer(identity)
        assert "ok" in answer, answer
        return answer["ok"]

    async def refused(self, code: str, identity: int | str = 0, **message: Any) -> dict[str, Any]:
        await self.send(id=identity, **message)
        problem: dict[str, Any] = (await self.answer(identity))["error"]
        assert problem["code"] == code, problem
        return problem

    async def event(self) -> dict[str, Any]:
        if self.events:
            return self.events.pop(0)
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        assert "sub" in message, message
        return message


async def test_records_are_created_read_changed_listed_and_deleted() -> None:
    async with served(NOTES) as scene, opened(scene) as socket:
        made = await socket.ask(1, op="create", model="notes", record="n1", data={"text": "a"}, key="k")
        assert made["data"] == {"text": "a"}
        again = await socket.ask(2, op="create", model="notes", record="n1", data={"text": "a"}, key="k")
        assert again == made
        assert await socket.ask("x", op="get", model="notes", record="n1") == made
        changed = await socket.ask(
            3, op="update", model="notes", record="n1", data={"text": "b"}, revision=made["revision"]
        )
        assert changed["data"] == {"text": "b"}
        await socket.refused(
            "revision-conflict",
            op="update",
            model="notes",
            record="n1",
            data={"text": "c"},
            revision=made["revision"],
        )
        listed = await socket.ask(4, op="list", model="notes", where={"text": "b"}, fields=["text"])
        assert [each["id"] for each in listed["records"]] == ["n1"]
        assert await socket.ask(5, op="delete", model="notes", record="n1") == {}
        await socket.refused("not-found", op="get", model="notes", record="n1")


async def test_commands_run_side_by_side_and_answer_as_they_end() -> None:
    release = asyncio.Event()

    async def wait(question: Any, _: CallContext) -> Any:
        if question["args"] == "slow":
            await release.wait()
        return {"result": question["args"]}

    async with served() as scene:
        scene.serve(NOTES, commands={"say": {}})
        scene.guests.functions["notes", "say"] = wait
        async with opened(scene) as socket:
            for record in ("a", "b"):
                await socket.ask(record, op="create", model="notes", record=record, data={})
            await socket.send(id=1, op="command", model="notes", record="a", command="say", args="slow")
            await socket.refused("conflict", 1, op="get", model="notes", record="b")
            quick = await socket.ask(2, op="command", model="notes", record="b", command="say", args="quick")
            assert quick == {"result": "quick"}
            release.set()
            assert (await socket.answer(1))["ok"] == {"result": "slow"}


async def test_more_calls_than_allowed_are_refused_and_the_socket_goes_on() -> None:
    release = asyncio.Event()

    async def wait(_question: Any, _: CallContext) -> Any:
        await release.wait()

    async with served() as scene:
        scene.serve(NOTES, commands={"wait": {}})
        scene.guests.functions["notes", "wait"] = wait
        async with opened(scene) as socket:
            for number in range(MAX_CALLS + 1):
                await socket.ask(f"c{number}", op="create", model="notes", record=f"n{number}", data={})
            for number in range(MAX_CALLS):
                await socket.send(id=number, op="command", model="notes", record=f"n{number}", command="wait")
            await socket.refused("busy", 99, op="get", model="notes", record="n0")
            release.set()
            for number in range(MAX_CALLS):
                assert (await socket.answer(number))["ok"] == {"result": None}


async def test_one_socket_carries_many_subscriptions() -> None:
    async with served(NOTES, TELEMETRY) as scene, opened(scene) as socket:
        await socket.ask("notes", op="subscribe", model="notes")
        await socket.ask("made", op="subscribe", type=["edgehost.record.created"])
        await scene.client.post("/models/readings", json={"sensor": "a"})
        event = await socket.event()
        assert event["sub"] == "made"
        assert event["event"]["data"]["model"] == "telemetry"
        await socket.refused("conflict", "notes", op="subscribe")
        await socket.ask(1, op="unsubscribe", sub="made")
        await scene.client.post("/models/notes", json={"text": "x"})
        event = await socket.event()
        assert event["sub"] == "notes"
        assert event["event"]["type"] == "edgehost.record.created"
        await socket.refused("not-found", op="unsubscribe", sub="made")


async def test_patterns_and_the_last_events_can_be_asked_for() -> None:
    async with served(NOTES) as scene, opened(scene) as socket:
        for text in "abc":
            await scene.client.post("/models/notes", json={"text": text})
        await socket.ask(1, op="subscribe", on="edgehost.record.*", replay=2)
        told = [await socket.event() for _ in range(2)]
        assert [event["event"]["data"]["data"]["text"] for event in told] == ["b", "c"]
        await socket.refused("invalid-specification", op="subscribe", on="a..b")


async def test_subscriptions_are_bounded_and_end_with_the_socket() -> None:
    async with served(NOTES) as scene:
        async with opened(scene) as socket:
            for number in range(MAX_SUBSCRIPTIONS):
                await socket.ask(number, op="subscribe")
            await socket.refused("busy", "more", op="subscribe")
        async with opened(scene) as socket:
            await socket.ask(1, op="subscribe")


async def test_what_is_not_understood_is_answered_with_a_problem() -> None:
    async with served(NOTES) as scene, opened(scene) as socket:
        for text in (
            "{",
            "[]",
            "{}",
            '{"id": true, "op": "get"}',
            '{"id": "' + "x" * 65 + '"}',
            '{"id": 1, "id": 1}',
        ):
            await socket.connection.send(text)
            answer = json.loads(await socket.connection.recv())
            assert answer["id"] is None
            assert answer["error"]["status"] == 400
        await socket.refused("refused", op="fetch")
        await socket.refused("refused", op="get", model="notes", record="a", extra=1)
        await socket.refused("not-found", op="get", model="nots", record="a")
        await socket.refused("not-found", op="port", model="notes", port="p")
        await socket.refused("refused", op="subscribe", model=["m"] * 33)
        await socket.refused("invalid-record", op="create", model="notes", record="a b", data={})


async def test_messages_that_are_too_large_or_binary_end_the_socket() -> None:
    async with served(NOTES, body_bytes=10_000) as scene:
        async with opened(scene) as socket:
            await socket.connection.send("x" * 20_000)
            await socket.connection.wait_closed()
            assert socket.connection.close_code == 1009
        async with opened(scene) as socket:
            await socket.connection.send(b"{}")
            await socket.connection.wait_closed()
            assert socket.connection.close_code == 1003


async def test_sockets_are_bounded_in_number() -> None:
    async with served(NOTES, max_sockets=1) as scene, opened(scene) as first:
        await _denied(scene, 503)
        await first.connection.close()
        async with asyncio.timeout(20):
            while True:
                try:
                    async with opened(scene) as socket:
                        await socket.ask(1, op="list", model="notes")
                        return
                except websockets.InvalidStatus:
                    await asyncio.sleep(0)


async def test_sockets_need_what_requests_need() -> None:
    async with served(NOTES) as scene:
        await _denied(scene, 403, origin="http://evil.example")
        port = scene.at.tcp_port
        async with opened(scene, origin=f"http://127.0.0.1:{port}") as socket:
            await socket.ask(1, op="list", model="notes")
    async with served(NOTES, access=AccessPolicy(token=TOKEN)) as scene:
        await _denied(scene, 401)
        async with opened(scene, additional_headers={"authorization": f"Bearer {TOKEN}"}) as socket:
            await socket.ask(1, op="list", model="notes")


async def test_a_page_may_send_the_token_as_a_subprotocol() -> None:
    word = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    async with served(NOTES, access=AccessPolicy(token=TOKEN)) as scene:
        for wrong in ("x", word[:-2], ""):
            await _denied(scene, 401, subprotocols=["edgehost.v1", f"edgehost.bearer.{wrong}"])
        async with opened(scene, subprotocols=["edgehost.v1", f"edgehost.bearer.{word}"]) as socket:
            assert socket.connection.subprotocol == "edgehost.v1"
            await socket.ask(1, op="list", model="notes")


async def test_a_token_with_roles_calls_and_hears_what_its_roles_allow() -> None:
    access = AccessPolicy(tokens={TOKEN: ["nurse"]})
    async with served(access=access) as scene:
        scene.serve(NOTES, access={"read": {"allow": ["role:nurse"]}, "update": {"allow": ["role:doctor"]}})
        scene.serve(TELEMETRY, access={"read": {"allow": ["role:doctor"]}})
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with opened(scene, additional_headers=headers) as socket:
            await socket.ask(1, op="subscribe")
            await socket.ask(2, op="create", model="telemetry", data={"sensor": "a"})
            await socket.ask(3, op="create", model="notes", record="n", data={"text": "a"})
            assert (await socket.event())["event"]["data"]["model"] == "notes"
            await socket.ask(4, op="get", model="notes", record="n")
            await socket.refused("forbidden", op="update", model="notes", record="n", data={})
            await socket.refused("forbidden", op="list", model="telemetry")


async def test_there_is_one_path_for_sockets() -> None:
    async with served(NOTES) as scene:
        response = await scene.client.get("/ws")
        assert response.status_code == 426
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(scene.at.url.replace("http", "ws") + "/api/events")
        assert refused.value.response.status_code == 404
        assert b"/api/ws" in refused.value.response.body


async def test_the_server_ends_sockets_when_it_stops() -> None:
    async with served(NOTES) as scene:
        connection = await connect(scene.at.url.replace("http", "ws") + "/api/ws")
        socket = Socket(connection)
        await socket.ask(1, op="subscribe")
    await connection.wait_closed()
    assert connection.close_code in {1001, 1012}  # going away, or the service restarts


async def _denied(scene: Scene, status: int, **options: Any) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(scene.at.url.replace("http", "ws") + "/api/ws", **options)
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["status"] == status
