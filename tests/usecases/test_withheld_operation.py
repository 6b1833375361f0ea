from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.usecases.fleet_operation import RunningCommand
from edgehost.usecases.withheld_operation import WithheldOperation, withheld_operations

WHY = "The card is read-only."


@dataclass
class Doing:
    """An operation that remembers that it was done."""

    done: list[str] = field(default_factory=list)

    @property
    def capability(self) -> Mapping[str, Any]:
        return {"description": "does it"}

    def about(self, arguments: Mapping[str, Any]) -> str:
        if "component" not in arguments:
            raise RefusedError("'component' is missing.")
        return str(arguments["component"])

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        return "deployment"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        self.done.append("run")
        return {}

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        self.done.append("resume")
        return {}


async def nothing(_memo: Mapping[str, Any]) -> None:
    """There is nothing to remember."""


def running(told: list[str]) -> RunningCommand:
    command = FleetCommand("c1", Operation.DEPLOY, ("*",), "yard", 1.0, 2.0, bytes(16), {"component": "a"})
    return RunningCommand(command, 1, {}, told.append, nothing)


async def test_a_host_that_keeps_nothing_does_what_changes_nothing_and_refuses_the_rest() -> None:
    doing = Doing()
    operations = withheld_operations(dict.fromkeys(Operation, doing), WHY, "Mend it.")
    harmless = {name for name, each in operations.items() if each is doing}
    assert harmless == {Operation.LOGS, Operation.DIAG}
    deploy = operations[Operation.DEPLOY]
    assert (deploy.capability, deploy.turn({})) == (doing.capability, None)
    assert deploy.about({"component": "a"}) == "a"
    with pytest.raises(RefusedError):
        deploy.about({})
    with pytest.raises(UnavailableError, match="read-only") as refused:
        await deploy.run(running([]))
    assert refused.value.hint == "Mend it."
    assert doing.done == []


async def test_a_command_from_before_stays_open_until_its_end_can_be_noted() -> None:
    doing, told = Doing(), list[str]()
    task = asyncio.create_task(WithheldOperation(doing, WHY, "").resume(running(told)))
    while not told:
        await asyncio.sleep(0)
    assert (told, task.done(), doing.done) == ([WHY], False, [])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
