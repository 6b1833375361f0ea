"""An operator's connection ends when its work is done, also when both come at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.adapters.fleet import operator_link
from edgehost.adapters.fleet.operator_link import OperatorLink, open_operator_link
from edgehost.domain.errors import TooLargeError, UnavailableError
from edgehost.domain.fleet_topics import FleetTopics
from remotes.mqtt_connection import Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks


class AnsweringClient:
    """A client whose broker answers the mark in the very moment in which the task is cancelled."""

    def __init__(self, at_the_answer: Callable[[], object]) -> None:
        self.at_the_answer = at_the_answer

    async def subscribe(self, _topic: str, **_how: Any) -> None:
        return None

    async def publish(self, _topic: str, _payload: bytes, **_how: Any) -> None:
        answer = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            answer.set_result(None)
            self.at_the_answer()

        asyncio.get_running_loop().call_soon(arrive)
        await asyncio.wait_for(answer, 5)  # noqa: TID251 - as aiomqtt waits


async def test_a_cancellation_that_comes_with_the_brokers_answer_ends_the_asking() -> None:
    asking: list[asyncio.Task[None]] = []
    client: Any = AnsweringClient(lambda: asking[0].cancel())  # noqa: PLW0108 - the task is made later
    operator = OperatorLink(FleetTopics("yard"), MqttOptions(host="localhost"), ["edgehost/yard/#"])
    link = Link(client, asyncio.get_running_loop().create_future())
    asking.append(asyncio.get_running_loop().create_task(operator._ask(link), name="asking"))
    done, _ = await asyncio.wait(asking, timeout=5)
    assert done
    assert asking[0].cancelled()


async def test_a_broker_that_lets_in_and_gives_nothing_of_the_fleet_is_told_from_one_that_is_silent(
    tmp_path: Path,
) -> None:
    (tmp_path / "acl").write_text("topic read edgehost/yard/#\n")
    rules = f"allow_anonymous true\nacl_file {tmp_path}/acl"
    async with open_broker(kind="mosquitto", extra_config=rules) as broker, owned_tasks() as spawn:
        options = MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port)
        operator = OperatorLink(FleetTopics("yard"), options, ["edgehost/yard/#"], answer_s=0.0)
        with pytest.raises(UnavailableError, match="does not answer"):
            await operator.complete()
        spawn(operator.run(), "operator")
        await operator._keeper.link()
        with pytest.raises(UnavailableError, match="lets you in") as caught:
            await operator.complete()
        assert "Is the fleet called 'yard'?" in caught.value.hint
        assert "it must let you read edgehost/yard/#" in caught.value.hint


async def test_who_may_only_read_sees_what_came_until_nothing_more_did(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic read edgehost/yard/#\nuser ada\ntopic readwrite #\n")
    rules = f"allow_anonymous true\nacl_file {tmp_path}/acl"
    hosts = [f"edgehost/yard/{name}" for name in ("gate", "shed")]
    async with open_broker(kind="mosquitto", extra_config=rules) as broker, owned_tasks() as spawn:
        options = MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port)
        ada = OperatorLink(FleetTopics("yard"), replace(options, username="ada"), hosts, answer_s=60)
        spawn(ada.run(), "ada")
        await ada.complete()
        for each in hosts:
            await ada.publish(each, b"{}")
        assert not ada.is_guess
        reader = OperatorLink(FleetTopics("yard"), options, hosts, answer_s=60, still_s=0.2)
        spawn(reader.run(), "reader")
        await reader.complete()
        assert reader.is_guess
        assert await reader.until(lambda: sorted(reader.retained) == hosts, 60)
        await reader.listen("edgehost/yard/gate/status")  # nothing is retained there, and that is told, too
        assert reader.is_guess


async def test_a_fleet_of_more_topics_than_a_client_queues_is_seen_whole_and_one_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics = FleetTopics("yard")
    async with open_broker(
        kind="mosquitto", extra_config="allow_anonymous true\nmax_queued_messages 0"
    ) as broker:
        options = MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port, inbox=8)
        async with aiomqtt.Client("127.0.0.1", broker.tcp_port) as client:
            for number in range(1000):
                await client.publish(f"edgehost/yard/pi-{number}", b"{}", retain=True)
            await client.publish("edgehost/yard/last", b"{}", qos=1, retain=True)
        async with open_operator_link(topics, options, ["edgehost/yard/#"]) as link:
            assert len(link.retained) == 1001
        monkeypatch.setattr(operator_link, "MOST_TOPICS", 999)
        with pytest.raises(TooLargeError, match="more than 999 topics"):
            async with open_operator_link(topics, options, ["edgehost/yard/#"]):
                pass
