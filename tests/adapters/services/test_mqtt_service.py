"""The service mqtt against mosquitto."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from edgehost.adapters.services.mqtt_service import MqttService, open_mqtt_service
from edgehost.config_services import MqttOptions
from edgehost.domain.errors import InvalidConfigError, NotGrantedError, RefusedError, UnavailableError
from tests.adapters.services.service_scenes import Told, mosquitto, opened


async def test_what_is_published_is_heard(tmp_path: Path) -> None:
    async with opened("mqtt", tmp_path) as scene:
        for message in ({"payload": "text"}, {"payload": {"n": 1}}, {"base64": "//4="}, {}):
            await scene.service.call("publish", {"topic": "heard/x", **message}, timeout_s=5)
        assert await scene.told.wait_for("message", count=4) == [
            {"topic": "heard/x", "payload": "text"},
            {"topic": "heard/x", "payload": '{"n":1}'},
            {"topic": "heard/x", "base64": "//4="},
            {"topic": "heard/x", "payload": ""},
        ]


async def test_only_granted_topics_are_published_to(tmp_path: Path) -> None:
    async with opened("mqtt", tmp_path) as scene:
        with pytest.raises(NotGrantedError):
            await scene.service.call("publish", {"topic": "other"}, timeout_s=5)
        for topic in ("said/#", "said/+", "", "$SYS/x\0"):
            with pytest.raises(RefusedError):
                await scene.service.call("publish", {"topic": topic}, timeout_s=5)
        with pytest.raises(RefusedError):
            await scene.service.call("publish", {"topic": "said/x", "payload": "x" * 300_000}, timeout_s=5)


async def test_wanted_topics_change_while_it_runs(tmp_path: Path) -> None:
    async with opened("mqtt", tmp_path) as scene:
        service = cast(MqttService, scene.service)
        service.want({"in/a/+"})

        async def heard(topic: str) -> str:
            """Publishes until it arrives: a subscription takes a moment."""
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(service.next_message())
                while not waiting.done():
                    await service.call("publish", {"topic": topic, "payload": "x"}, timeout_s=5)
                    await asyncio.wait({waiting}, timeout=0.05)
            return str(waiting.result().topic)

        assert await heard("in/a/1") == "in/a/1"
        service.want({"in/b/#"})
        assert await heard("in/b/2/3") == "in/b/2/3"


async def test_a_broker_that_restarts_is_reached_again(tmp_path: Path) -> None:
    async with opened("mqtt", tmp_path) as scene:
        await scene.world.stop()
        with pytest.raises(UnavailableError):
            await scene.service.call("publish", {"topic": "said/x"}, timeout_s=0.2)
        await scene.world.start()
        await scene.service.call("publish", {"topic": "heard/again"}, timeout_s=20)
        assert await scene.told.wait_for("message") == [{"topic": "heard/again", "payload": ""}]


async def test_over_long_messages_are_dropped_and_counted() -> None:
    async with mosquitto() as broker:
        options = MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port, subscribe=("#",), message_kib=1)
        wide = MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port)
        told = Told()
        async with (
            open_mqtt_service("narrow", options, told) as narrow,
            open_mqtt_service("wide", wide, Told()) as sender,
        ):
            await narrow.call("publish", {"topic": "first"}, timeout_s=5)
            await told.wait_for("message")
            await sender.call("publish", {"topic": "big", "payload": "x" * 2000}, timeout_s=5)
            await sender.call("publish", {"topic": "small", "payload": "x"}, timeout_s=5)
            messages = await told.wait_for("message", count=2)
            assert [message["topic"] for message in messages] == ["first", "small"]
            assert narrow.health().state == "warning"


async def test_a_filter_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidConfigError):
        async with open_mqtt_service("b", MqttOptions(host="x", subscribe=("a/#/b",)), Told()):
            pass
