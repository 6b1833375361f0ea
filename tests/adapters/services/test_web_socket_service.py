"""The service websocket against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.services.web_socket_service import open_web_socket_service
from edgehost.config_services import WebSocketOptions
from edgehost.domain.errors import RefusedError, UnavailableError
from tests.adapters.services.service_scenes import Told, opened


async def test_messages_go_out_and_come_in(tmp_path: Path) -> None:
    async with opened("websocket", tmp_path) as scene:
        await scene.service.call("send", {"json": {"n": 1}}, timeout_s=5)
        await scene.service.call("send", {"text": "not json"}, timeout_s=5)
        assert await scene.told.wait_for("message", count=2) == [{"json": {"n": 1}}, {"text": "not json"}]


async def test_a_lost_connection_is_told_and_made_again(tmp_path: Path) -> None:
    async with opened("websocket", tmp_path) as scene:
        await scene.world[0].close()
        await scene.told.wait_for("closed")
        await scene.told.wait_for("opened", count=2)
        await scene.service.call("send", {"text": "again"}, timeout_s=5)
        assert await scene.told.wait_for("message") == [{"text": "again"}]


async def test_an_over_long_message_ends_the_connection_not_the_host(tmp_path: Path) -> None:
    async with opened("websocket", tmp_path) as scene:
        await scene.world[0].send("x" * 5000)
        await scene.told.wait_for("closed")
        await scene.told.wait_for("opened", count=2)
        with pytest.raises(RefusedError):
            await scene.service.call("send", {"text": "x" * 5000}, timeout_s=5)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    options = WebSocketOptions(url="ws://127.0.0.1:1/")
    async with open_web_socket_service("socket", options, Told()) as service:
        with pytest.raises(UnavailableError, match="not connected"):
            await service.call("send", {"text": "x"}, timeout_s=0.2)
        assert service.health().state == "warning"
