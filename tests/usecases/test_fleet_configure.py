"""A configuration from afar over restarts and power cuts: done once, and only called good when it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from edgehost.domain.config_generation import Generation, Generations
from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.ports.agent_control import AgentControl
from edgehost.usecases.fleet_agent_operations import Configure
from edgehost.usecases.fleet_operation import RunningCommand


class PowerCutError(Exception):
    """What comes after it is not done."""


class Agent:
    """Its generations are durable; what runs is chosen at a start."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.known = Generations()
        for text in texts:
            self.known = self.known.proposed(digest(text), "operator", at=0.0)
            self.known = self.known.confirmed(self.known.all[-1].number)
        self.start()

    def start(self) -> None:
        chosen = self.known.chosen
        assert chosen is not None
        self._runs = chosen.number

    @property
    def generation(self) -> Generation:
        return self.known.require(self._runs)

    async def text(self, number: int) -> bytes:
        return self.texts[number - 1].encode()

    def all_generations(self) -> Sequence[Generation]:
        return self.known.all

    async def apply(self, text: bytes, origin: str, *, restart: bool = True) -> Generation:
        assert not restart
        chosen = self.known.chosen
        if chosen is None or chosen.digest != digest(text.decode()):
            self.known = self.known.proposed(digest(text.decode()), origin, at=0.0)
        return self.known.all[-1]

    async def revert(self, reason: str, *, restart: bool = True) -> Generation:
        assert not restart
        self.known = self.known.taken_back(reason)
        chosen = self.known.chosen
        assert chosen is not None
        return chosen

    def restart(self) -> None:
        raise PowerCutError


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Scene:
    """One command, its memo on a disk, and power that can be cut before the memo is written."""

    def __init__(self, agent: Agent, **arguments: Any) -> None:
        self.agent = agent
        self.operation = Configure(cast("AgentControl", agent), lambda _text: None)
        self.command = FleetCommand(
            "one", Operation.CONFIG, ("*",), "site", 0.0, 1.0, b"n" * 16, arguments, by="ab" * 8
        )
        self.memo: Mapping[str, Any] = {}
        self.writes_until_cut = -1
        self.told: list[str] = []

    async def remember(self, memo: Mapping[str, Any]) -> None:
        if self.writes_until_cut == 0:
            raise PowerCutError
        self.writes_until_cut -= 1
        self.memo = dict(memo)

    def running(self) -> RunningCommand:
        return RunningCommand(self.command, 1, self.memo, self.told.append, self.remember)

    async def until_restart(self) -> None:
        """Run it until the host goes, and start the host again."""
        with pytest.raises(PowerCutError):
            await self.operation.run(self.running())
        self.agent.start()
        self.writes_until_cut = -1


@pytest.mark.parametrize("writes", [1, -1], ids=["cut before it is remembered", "as planned"])
async def test_going_back_is_done_once_whenever_the_power_goes(writes: int) -> None:
    scene = Scene(Agent("one", "two", "three"), revert=True)
    scene.writes_until_cut = writes
    await scene.until_restart()
    assert (await scene.operation.resume(scene.running()))["number"] == 2
    assert scene.agent.generation.number == 2


async def test_power_that_goes_before_anything_was_done_lets_it_be_done_then() -> None:
    scene = Scene(Agent("one", "two"), revert=True)
    scene.memo = {"reverts_from": 2}
    with pytest.raises(PowerCutError):
        await scene.operation.resume(scene.running())
    scene.agent.start()
    assert (await scene.operation.resume(scene.running()))["number"] == 1


async def test_a_configuration_whose_number_was_not_remembered_is_good_only_after_its_trial() -> None:
    scene = Scene(Agent("one"), text="two")
    scene.writes_until_cut = 0
    await scene.until_restart()
    assert scene.memo == {}
    outcome = asyncio.create_task(scene.operation.resume(scene.running()))
    async with asyncio.timeout(30):
        while not scene.told:
            await asyncio.sleep(0)
        assert not outcome.done()
        scene.agent.known = scene.agent.known.confirmed(2)
        assert (await outcome)["standing"] == "good"


SECRET = '[components.oracle.config]\napi = "hunter2-and-more"\n[host]\nname = "gate"\n'


async def test_what_is_shown_to_a_broker_has_no_secret_and_cannot_be_sent_back_by_mistake() -> None:
    scene = Scene(Agent(SECRET), show=True)
    shown = await scene.operation.run(scene.running())
    assert shown["redacted"]
    assert "hunter2" not in shown["text"]
    assert 'name = "gate"' in shown["text"]
    with pytest.raises(RefusedError, match="without its secrets"):
        scene.operation.about({"text": shown["text"]})


async def test_a_configuration_without_secrets_is_shown_as_it_is() -> None:
    scene = Scene(Agent("one"), show=True)
    assert await scene.operation.run(scene.running()) == {"generation": 1, "text": "one", "redacted": False}
