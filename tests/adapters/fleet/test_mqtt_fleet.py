"""A host's connection to its fleet against mosquitto, with MQTT 5 and 3.1.1, and against amqtt."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.adapters.fleet.fleet_handlers import FleetHandlers
from edgehost.adapters.fleet.mqtt_fleet import MqttFleet
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_topics import FleetTopics
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks
from tests.adapters.fleet.fleet_scene import ROOT, Tools

TOPICS = FleetTopics("yard").host("journey")


@dataclass
class Seen:
    """What the link told."""

    commands: list[tuple[str, bytes]] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)
    namesakes: list[tuple[str, bool]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def handlers(self) -> FleetHandlers:
        return FleetHandlers(
            command=lambda topic, payload: self._note(self.commands, (topic, payload)),
            settled=lambda _seen, lost: self._note(self.settled, lost),
            namesake=lambda where, yields: self._note(self.namesakes, (where, yields)),
            link=self.moved.set,
        )

    def _note(self, where: list[Any], what: Any) -> None:
        where.append(what)
        self.moved.set()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 15) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.moved.clear()
                await self.moved.wait()


def status(word: str, boot: str) -> bytes:
    return json.dumps({"status": word, "boot": boot}).encode()


@asynccontextmanager
async def linked(
    broker: EmbeddedBroker, boot: str = "b1", *, up_s: float = 0.0, version: Any = "auto", kept: int = 3
) -> AsyncIterator[tuple[MqttFleet, Seen]]:
    began = time.monotonic() - up_s
    seen = Seen()
    link = MqttFleet(
        TOPICS,
        MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port, mqtt_version=version, backoff_base_s=0.05),
        boot,
        where=f"machine of {boot}",
        up_s=lambda: time.monotonic() - began,
        now=time.monotonic,
        online=lambda: status("online", boot),
        offline=lambda _reason: status("offline", boot),
        handlers=seen.handlers(),
        claim_s=0.2,
    )
    link.keep(TOPICS.registration, b'{"id":"journey"}')
    for number in range(kept):
        link.keep(TOPICS.twin(f"p{number}"), b'{"n":%d}' % number)
    link.tidy()
    async with owned_tasks() as spawn:
        spawn(link.run(), "link")
        yield link, seen


BROKERS: list[tuple[Kind, str]] = [("mosquitto", "auto"), ("mosquitto", "3.1.1"), ("amqtt", "auto")]


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_what_is_kept_is_retained_and_taken_away(kind: Kind, version: str) -> None:
    async with open_broker(kind=kind) as broker:
        tools = Tools(broker)
        async with tools.heard() as heard, linked(broker, version=version) as (link, _):
            assert (await heard.until(f"{ROOT}/status"))["status"] == "online"
            await heard.until(f"{ROOT}/twin/p2")
            assert link.protocol == ("5" if (kind, version) == ("mosquitto", "auto") else "3.1.1")
            link.keep(TOPICS.twin("p1"), b'{"n":10}')
            link.keep(TOPICS.twin("p2"), None)
            link.keep(TOPICS.alarm("hot"), b'{"text":"hot"}')
            await heard.until(f"{ROOT}/a/hot")
            link.keep(TOPICS.alarm("last"), b"1")
            await heard.until(f"{ROOT}/a/last")
            shown = await tools.retained()
            assert shown[f"{ROOT}/twin/p1"] == {"n": 10}
            assert f"{ROOT}/twin/p2" not in shown
            assert shown[ROOT] == {"id": "journey"}
        assert (await tools.retained())[f"{ROOT}/status"] == {"status": "offline", "boot": "b1"}


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_a_broker_that_forgot_everything_is_told_everything_again(kind: Kind, version: str) -> None:
    async with open_broker(kind=kind) as broker, linked(broker, version=version) as (_, seen):
        await seen.until(lambda: len(seen.settled) == 1)
        async with Tools(broker).heard() as heard:
            await heard.until(f"{ROOT}/twin/p2")
        await broker.stop(kill=True)  # mosquitto saves nothing then, amqtt never does
        await broker.start()
        await seen.until(lambda: len(seen.settled) == 2)
        assert seen.settled == [True, True]
        async with Tools(broker).heard() as heard:
            await heard.until(f"{ROOT}/twin/p2")
            assert ROOT in await Tools(broker).retained()


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
async def test_a_broker_that_remembers_is_told_only_what_has_changed(version: str) -> None:
    async with open_broker(kind="mosquitto") as broker, linked(broker, version=version) as (link, seen):
        tools = Tools(broker)
        async with tools.heard() as heard:
            link.keep(TOPICS.twin("last"), b"1")
            await heard.until(f"{ROOT}/twin/last")
        await broker.stop()  # in order: what it retains is saved
        link.keep(TOPICS.twin("p1"), b'{"n":11}')
        written = link.written
        await broker.start()
        await seen.until(lambda: len(seen.settled) == 2)
        assert seen.settled == [True, False]
        async with tools.heard(f"{ROOT}/twin/+") as heard:
            await heard.until(f"{ROOT}/twin/p1", lambda p: p == {"n": 11})
            link.keep(TOPICS.twin("last"), b"2")
            await heard.until(f"{ROOT}/twin/last", lambda p: p == 2)
        assert (
            link.written - written <= 4
        )  # its status twice (the goodbye of the broker, the return), and the two


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
async def test_the_will_of_an_earlier_run_that_comes_late_is_put_right(version: str) -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        await tools.publish(f"{ROOT}/status", {"status": "online", "boot": "b0"})
        async with linked(broker, version=version) as (_, seen), tools.heard(f"{ROOT}/status") as heard:
            await seen.until(lambda: bool(seen.settled))
            await heard.until(f"{ROOT}/status", lambda s: s == {"status": "online", "boot": "b1"})
            await tools.publish(f"{ROOT}/status", {"status": "offline", "boot": "b0"})
            await heard.until(f"{ROOT}/status", lambda s: s == {"status": "offline", "boot": "b0"})
            await heard.until(f"{ROOT}/status", lambda s: s == {"status": "online", "boot": "b1"})


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
async def test_whoever_writes_over_a_hosts_word_does_not_have_the_last(version: str) -> None:
    async with open_broker(kind="mosquitto") as broker, linked(broker, version=version) as (_, seen):
        tools = Tools(broker)
        await seen.until(lambda: bool(seen.settled))
        async with tools.heard(f"{ROOT}/#") as heard:
            await heard.until(f"{ROOT}/twin/p2")
            for forged in ({"n": 666}, {"n": 667}, None):
                await tools.publish(f"{ROOT}/twin/p1", forged)
                await heard.until(f"{ROOT}/twin/p1", lambda p, forged=forged: p == forged)
                await heard.until(f"{ROOT}/twin/p1", lambda p: p == {"n": 1})
            await tools.publish(f"{ROOT}/a/made-up", {"text": "fire"})
            await heard.until(f"{ROOT}/a/made-up")
            await heard.until(f"{ROOT}/a/made-up", lambda p: p is None)


async def test_topics_that_an_earlier_run_has_left_are_taken_away() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        for topic in ("a/old", "twin/old", "cmd/flash"):
            await tools.publish(f"{ROOT}/{topic}", {"old": True})
        await tools.publish(f"{ROOT}/twin/deployment/kept", {"old": True})
        async with linked(broker) as (link, seen):
            await seen.until(lambda: bool(seen.settled))
            link.keep(TOPICS.twin("last"), b"1")
            async with tools.heard() as heard:
                await heard.until(f"{ROOT}/twin/last")
            left = [topic for topic, payload in (await tools.retained()).items() if payload == {"old": True}]
            assert left == [f"{ROOT}/twin/deployment/kept"]  # a rollout owns that


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_of_two_hosts_of_one_name_the_younger_keeps_silent_and_both_say_so(
    kind: Kind, version: str
) -> None:
    async with open_broker(kind=kind) as broker:
        tools = Tools(broker)
        async with linked(broker, "elder", up_s=100, version=version) as (elder, elder_seen):
            await elder_seen.until(lambda: bool(elder_seen.settled))
            async with tools.heard() as heard:
                await heard.until(f"{ROOT}/twin/p2")
                async with linked(broker, "younger", version=version, kept=9) as (younger, younger_seen):
                    await elder_seen.until(lambda: bool(elder_seen.namesakes))
                    await younger_seen.until(lambda: bool(younger_seen.namesakes))
                    assert elder_seen.namesakes == [("machine of younger", False)]
                    assert younger_seen.namesakes == [("machine of elder", True)]
                    assert (elder.connected, younger.connected) == (True, False)
                    await tools.publish(f"{ROOT}/cmd/logs/x", {"status": "init"})
                    await elder_seen.until(lambda: bool(elder_seen.commands))
                    assert not younger_seen.commands
                    elder.keep(TOPICS.twin("end"), b"1")
                    await heard.until(f"{ROOT}/twin/end")
                shown = await tools.retained()
                assert shown[f"{ROOT}/status"] == {"status": "online", "boot": "elder"}
                assert f"{ROOT}/twin/p8" not in shown
                await elder_seen.until(lambda: elder_seen.namesakes[-1] == ("", False))


async def test_the_younger_takes_over_when_the_elder_is_gone() -> None:
    async with open_broker(kind="mosquitto") as broker:
        tools = Tools(broker)
        async with linked(broker, "elder", up_s=100) as (_, elder_seen):
            await elder_seen.until(lambda: bool(elder_seen.settled))
            younger = linked(broker, "younger", kept=9)
            link, seen = await younger.__aenter__()
            await seen.until(lambda: not link.connected and bool(seen.namesakes))
        try:
            await seen.until(lambda: seen.namesakes[-1] == ("", False))
            async with tools.heard() as heard:
                await heard.until(f"{ROOT}/status", lambda s: s == {"status": "online", "boot": "younger"})
                await heard.until(f"{ROOT}/twin/p8")
        finally:
            await younger.__aexit__(None, None, None)


async def test_an_operation_nobody_knows_and_topics_without_end_are_not_ours() -> None:
    assert TOPICS.command_in(f"{ROOT}/cmd/deploy/a") is not None
    for topic in ("cmd/explode/a", "cmd/deploy/", "cmd/deploy/a/b", "cmd/deploy/é", f"cmd/deploy/{'a' * 65}"):
        assert TOPICS.command_in(f"{ROOT}/{topic}") is None
    assert TOPICS.command(Operation.DEPLOY, "a") == f"{ROOT}/cmd/deploy/a"


@pytest.mark.parametrize(("kind", "version"), BROKERS)
async def test_commands_are_shown_again_when_asked_for(kind: Kind, version: str) -> None:
    async with open_broker(kind=kind) as broker, linked(broker, version=version) as (link, seen):
        await seen.until(lambda: bool(seen.settled))
        await Tools(broker).publish(f"{ROOT}/cmd/logs/x", {"status": "init"})
        await seen.until(lambda: len(seen.commands) == 1)
        link.ask_again()
        await seen.until(lambda: len(seen.commands) == 2)
        assert seen.commands[0] == seen.commands[1]
