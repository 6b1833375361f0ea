"""Commands: taken once, done once, ended always; what is not genuine has no effect."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edgehost.adapters.fleet.command_signing import new_command
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_events import FleetCommandRefused
from edgehost.domain.fleet_journal import MOST_FINAL, MOST_OPEN
from tests.usecases.command_scene import NOW, TOPICS, MemoryStore, Scene, Step, changed, new_key


async def test_a_signed_command_is_executed_and_ends() -> None:
    scene = Scene()
    async with scene.host() as commands:
        command = scene.command()
        commands.take(scene.topic(command), scene.signed(command))
        state = await scene.link.until(scene.topic(command), "executing")
        assert state["by"] == scene.keys["ada"][1].key_id
        scene.step.gate.set()
        state = await scene.link.final(scene.topic(command))
        assert (state["status"], state["result"]) == ("successful", {"did": True})
        assert scene.store.writes == 2  # taken, ended
        assert json.loads(scene.link.retained[TOPICS.capability(Operation.DEPLOY)])["description"]


@pytest.mark.parametrize(
    ("change", "by", "reason"),
    [
        ({}, "bob", "may not deploy"),
        ({}, "eve", "may not command 'pump'"),
        ({"arguments": {}}, "ada", "component is missing"),
        ({"operation": Operation.FLASH}, "ada", "cannot do 'flash'"),
    ],
)
async def test_a_genuine_command_that_is_not_allowed_fails_for_good(
    change: dict[str, Any], by: str, reason: str
) -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = changed(scene.command(), **change)
        state = await scene.outcome(commands, command, by)
        assert state["status"] == "failed"
        assert reason in state["reason"]
        scene.operators[1] = scene.operators[0]
        commands.take(scene.topic(command), scene.signed(command))
        await asyncio.sleep(0)
        assert not scene.step.done
        assert command.id in commands.book.journal.entries


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audience": ("other",)}, "It is for other; this is 'gate'"),
        ({"fleet": "elsewhere"}, "the fleet 'elsewhere'"),
        ({"expires_at": NOW - 1, "issued_at": NOW - 9}, "expired"),
        ({"issued_at": NOW + 3600, "expires_at": NOW + 3700}, "One of the two clocks is wrong"),
        ({"expires_at": NOW + 40 * 86_400}, "more than 35 days"),
        ({"expires_at": float("inf")}, "expires_at"),
        ({"nonce": b"short"}, "16 random bytes"),
        ({"id": "another"}, "published elsewhere"),
        ({"operation": Operation.LOGS}, "published elsewhere"),
    ],
)
async def test_a_command_that_is_not_for_here_and_now_is_refused_and_leaves_no_trace(
    change: dict[str, Any], reason: str
) -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        commands.take(scene.topic(command), scene.signed(changed(command, **change)))
        state = await scene.link.final(scene.topic(command))
        assert reason in state["reason"]
        assert (scene.step.done, scene.store.writes, commands.refusals.count) == ([], 0, 1)
        assert (await scene.outcome(commands, command))["status"] == "successful"  # its id was not used up


async def test_a_forged_command_changes_nothing_and_cannot_write_over_a_genuine_one() -> None:
    scene = Scene()
    _, stranger = new_key()
    async with (
        scene.host() as commands,
        scene.bus.subscription(lambda event: isinstance(event, FleetCommandRefused)) as refused,
    ):
        command = scene.command()
        topic = scene.topic(command)
        commands.take(topic, scene.signed(command))
        await scene.link.until(topic, "executing")
        genuine = scene.link.retained[topic]
        damaged = bytearray(scene.signed(command))
        damaged[60] ^= 1
        for forged in (
            stranger.signed_command(command),
            bytes(damaged),
            b"{",
            b"[]",
            b'{"status":"init"}',
            b"\xff" * 100,
        ):
            scene.link.retained[topic] = forged
            commands.take(topic, forged)
            await anext(refused)
            assert scene.link.retained[topic] == genuine
        scene.link.retained[topic] = b'{"status":"successful"}'
        commands.take(topic, b'{"status":"successful"}')
        await scene.link.until(topic, "executing")
        scene.step.gate.set()
        assert (await scene.link.final(topic))["status"] == "successful"


async def test_the_same_again_is_done_once_and_a_replay_after_it_was_cleared_is_refused() -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        topic, payload = scene.topic(command), scene.signed(command)
        await scene.outcome(commands, command)
        for _ in range(3):
            commands.take(topic, payload)
        commands.take(topic, scene.signed(changed(command, nonce=b"x" * 16)))  # another under its id
        commands.take(topic, b"")
        async with asyncio.timeout(30):
            while command.id in commands.book.journal.entries:
                await asyncio.sleep(0)
        commands.take(topic, payload)
        assert "taken before" in (await scene.link.until(topic, "failed"))["reason"]
        other = changed(command, id="other")
        commands.take(scene.topic(other), payload)
        assert "published elsewhere" in (await scene.link.final(scene.topic(other)))["reason"]
    async with scene.host() as commands:  # nor after a restart
        commands.take(topic, payload)
        assert "taken before" in (await scene.link.until(topic, "failed"))["reason"]
        assert scene.step.done == [command.id]


async def test_commands_about_one_component_wait_for_each_other_and_say_so() -> None:
    scene = Scene()
    async with scene.host() as commands:
        first, second, other = scene.command(), scene.command(), scene.command("valve")
        for command in (first, second, other):
            commands.take(scene.topic(command), scene.signed(command))
        await scene.link.until(scene.topic(other), "executing")
        async with asyncio.timeout(30):
            while "waits" not in scene.link.state(scene.topic(second)).get("reason", ""):
                await asyncio.sleep(0)
        assert first.id in scene.link.state(scene.topic(second))["reason"]
        scene.step.gate.set()
        for command in (first, second, other):
            assert (await scene.link.final(scene.topic(command)))["status"] == "successful"
        assert scene.step.done.index(first.id) < scene.step.done.index(second.id)


@pytest.mark.parametrize("moment", ["waiting", "executing", "ended"])
async def test_every_command_ends_after_the_host_was_killed(moment: str) -> None:
    scene = Scene()
    command = scene.command()
    before = scene.command()
    async with scene.host() as commands:
        if moment == "waiting":
            commands.take(scene.topic(before), scene.signed(before))
        if moment == "ended":
            scene.step.gate.set()
        commands.take(scene.topic(command), scene.signed(command))
        await scene.link.until(scene.topic(command), "successful" if moment == "ended" else "executing")
    scene.link.retained.clear()  # the broker forgot, too
    async with scene.host() as commands:
        commands.settled(frozenset(), lost=True)
        scene.step.gate.set()
        assert (await scene.link.final(scene.topic(command)))["status"] == "successful"
        assert scene.step.done.count(command.id) == 1
        assert (command.id in scene.step.resumed) == (moment == "executing")


async def test_a_command_that_waited_until_it_expired_is_not_begun() -> None:
    scene = Scene()
    async with scene.host() as commands:
        first, second = scene.command(), scene.command()
        for command in (first, second):
            commands.take(scene.topic(command), scene.signed(command))
        await scene.link.until(scene.topic(second), "executing")
        scene.clock.at += 601
        scene.step.gate.set()
        assert "expired while it waited" in (await scene.link.final(scene.topic(second)))["reason"]
        assert scene.step.done == [first.id]


async def test_a_full_disk_refuses_before_anything_is_done() -> None:
    scene = Scene()
    async with scene.host() as commands:
        scene.store.full = True
        command = scene.command()
        commands.take(scene.topic(command), scene.signed(command))
        assert "full" in (await scene.link.final(scene.topic(command)))["reason"]
        scene.store.full = False
        scene.step.gate.set()
        assert (await scene.outcome(commands, command))["status"] == "successful"


@pytest.mark.parametrize("commits", [False, True])
async def test_a_signed_cancellation_ends_what_can_still_be_ended(commits: bool) -> None:
    scene = Scene(step=Step(commits=commits))
    async with scene.host() as commands:
        command = scene.command()
        commands.take(scene.topic(command), scene.signed(command))
        await scene.link.until(scene.topic(command), "executing")
        commands.take(scene.topic(command), b"")  # anybody may write nothing
        cancel = new_command(
            Operation.DEPLOY, {}, fleet="yard", audience=["gate"], now=NOW, life_s=60, command_id=command.id
        )
        payload = scene.keys["ada"][1].signed_cancellation(cancel)
        commands.take(scene.topic(command), payload)
        if commits:
            async with asyncio.timeout(30):
                while "no longer" not in scene.link.state(scene.topic(command)).get("reason", ""):
                    await asyncio.sleep(0)
            scene.step.gate.set()
            assert (await scene.link.final(scene.topic(command)))["status"] == "successful"
        else:
            state = await scene.link.final(scene.topic(command))
            assert (state["status"], "ada" in state["reason"]) == ("failed", True)
            assert scene.step.done == []


async def test_a_cancellation_that_overtakes_its_command_still_cancels_it() -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        cancel = changed(command, nonce=b"c" * 16)
        commands.take(scene.topic(command), scene.keys["ada"][1].signed_cancellation(cancel))
        commands.take(scene.topic(command), scene.signed(command))
        assert "before it came" in (await scene.link.final(scene.topic(command)))["reason"]
        assert scene.step.done == []


@pytest.mark.parametrize(
    ("by", "why"), [("bob", "may not deploy"), ("eve", "may not command the whole host")]
)
async def test_who_may_not_do_a_thing_may_not_keep_it_from_being_done_either(by: str, why: str) -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        commands.take(
            scene.topic(command), scene.keys[by][1].signed_cancellation(changed(command, nonce=b"c" * 16))
        )
        assert why in (await scene.link.final(scene.topic(command)))["reason"]
        commands.take(scene.topic(command), scene.signed(command))
        assert (await scene.outcome(commands, command))["status"] == "successful"


async def test_a_command_cannot_be_passed_off_as_a_cancellation_nor_the_other_way_round() -> None:
    scene = Scene()
    async with scene.host() as commands:
        command = scene.command()
        turned = json.loads(scene.signed(command)) | {"status": "cancel"}
        commands.take(scene.topic(command), json.dumps(turned).encode())
        assert "does not hold" in (await scene.link.final(scene.topic(command)))["reason"]


async def test_a_host_without_a_clock_takes_commands_and_no_stale_ones() -> None:
    scene = Scene(clock_is_set=False)
    scene.clock.at = NOW - 10**7  # the floor: months ago
    scene.step.gate.set()
    async with scene.host() as commands:
        stale = scene.command(now=NOW - 86_400, life_s=60)
        fresh = scene.command(now=NOW, life_s=600)
        together = scene.command(now=NOW - 60, life_s=600)
        assert (await scene.outcome(commands, fresh))["status"] == "successful"
        assert (await scene.outcome(commands, together))["status"] == "successful"
        state = await scene.outcome(commands, stale)
        assert "clock is not set" in state["reason"]
    async with scene.host() as commands:  # and remembers that over a restart
        assert (
            "clock is not set" in (await scene.outcome(commands, scene.command(now=NOW - 86_400)))["reason"]
        )


async def test_open_commands_are_bounded_and_so_is_what_is_remembered() -> None:
    scene = Scene()
    async with scene.host() as commands:
        many = [scene.command(f"c{number}") for number in range(MOST_OPEN + 1)]
        for command in many:
            commands.take(scene.topic(command), scene.signed(command))
        assert "are open already" in (await scene.link.final(scene.topic(many[-1])))["reason"]
        scene.step.gate.set()
        for number in range(MOST_FINAL + 5):
            await scene.outcome(commands, scene.command(f"d{number}"))
        assert len(commands.book.journal.entries) <= MOST_FINAL
        assert scene.topic(many[0]) not in scene.link.retained  # its topic went with it


async def test_a_lost_journal_refuses_what_may_have_been_done() -> None:
    scene = Scene(store=MemoryStore(b"[]"))
    scene.step.gate.set()
    async with scene.host() as commands:
        assert "nobody can say" in (await scene.outcome(commands, scene.command()))["reason"]
        scene.clock.at += 1
        assert (await scene.outcome(commands, scene.command()))["status"] == "successful"


async def test_on_a_trusted_broker_plain_json_is_enough_and_an_empty_message_cancels() -> None:
    scene = Scene(mode="trusted-broker")
    async with scene.host() as commands:
        topic = TOPICS.command(Operation.DEPLOY, "by-hand")
        commands.take(topic, b'{"status":"init","arguments":{"component":"pump"}}')
        await scene.link.until(topic, "executing")
        commands.take(topic, b"")
        assert "cancelled" in (await scene.link.final(topic))["reason"]
        for bad, reason in (
            (b'{"status":"init","arguments":{"component":7}}', "must be a string"),
            (b'{"status":"init","argument":{}}', "is unknown"),
            (b'{"status":"start"}', '"init" or "cancel"'),
        ):
            other = TOPICS.command(Operation.DEPLOY, f"bad-{len(bad)}")
            commands.take(other, bad)
            assert reason in (await scene.link.final(other))["reason"]


async def test_what_is_said_of_a_command_nobody_knows_any_more_comes_to_an_end() -> None:
    scene = Scene()
    async with scene.host() as commands:
        topic = TOPICS.command(Operation.DEPLOY, "old")
        commands.take(topic, b'{"status":"executing","id":"old","at":1.0}')
        assert "does not know" in (await scene.link.final(topic))["reason"]
        ended = TOPICS.command(Operation.DEPLOY, "ended")
        commands.take(ended, b'{"status":"successful"}')  # its requester clears it
        commands.settled(frozenset(), lost=False)
        assert ended not in scene.link.retained


async def test_outcomes_that_requesters_cleared_meanwhile_stay_away_and_lost_ones_come_back() -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        await scene.outcome(commands, command)
        commands.settled(frozenset(), lost=True)
        assert scene.topic(command) in scene.link.retained
        scene.link.retained.clear()
        commands.settled(frozenset({"others"}), lost=False)
        assert not scene.link.retained


async def test_a_long_result_comes_in_parts() -> None:
    scene = Scene(step=Step(result={"text": "x" * 100_000}))
    scene.step.gate.set()
    async with scene.host() as commands:
        command = scene.command()
        state = await scene.outcome(commands, command)
        parts = [
            scene.link.retained[TOPICS.result_part(command.operation, command.id, n)]
            for n in range(state["result"]["parts"])
        ]
        assert json.loads(b"".join(parts)) == {"text": "x" * 100_000}
        commands.take(scene.topic(command), b"")
        async with asyncio.timeout(30):
            while len(scene.link.retained) > 2:  # the capabilities
                await asyncio.sleep(0)


async def test_refusals_are_answered_a_bounded_number_of_times() -> None:
    scene = Scene()
    async with scene.host() as commands:
        for number in range(200):
            commands.take(TOPICS.command(Operation.DEPLOY, f"f{number}"), b'{"status":"init"}')
        async with asyncio.timeout(30):
            while commands.refusals.count < 200:
                await asyncio.sleep(0)
        assert len(scene.link.retained) <= 22


async def test_a_command_that_a_flood_carried_away_is_asked_for_again() -> None:
    scene = Scene()
    scene.step.gate.set()
    async with scene.host() as commands:
        for number in range(600):
            commands.take(TOPICS.command(Operation.DEPLOY, f"f{number}"), b'{"status":"init"}')
        command = scene.command()
        commands.take(scene.topic(command), scene.signed(command))
        assert commands.dropped == 89
        async with asyncio.timeout(30):
            while not scene.link.asked:
                await asyncio.sleep(0)
        assert (await scene.outcome(commands, command))["status"] == "successful"  # as it comes again
