"""Commands that name a device: whom they concern, and what a restart of the host in their midst means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError, UnavailableError
from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.ports.device_control import DeviceControl
from edgehost.usecases.fleet_device_operations import OnDevices, with_devices
from edgehost.usecases.fleet_operation import FleetOperation, RunningCommand


@dataclass
class Lamp:
    """A DeviceControl of one device that has one release before what runs."""

    component: str = "blink"
    digest: str = "bb"
    known: bool = True
    done: list[str] = field(default_factory=list)

    def _document(self) -> dict[str, Any]:
        runs = {"component": self.component, "version": "1.0.0", "sequence": 1, "digest": self.digest}
        slots = {"running": runs if self.component else None, "can_roll_back": True}
        state = {"name": "lamp", "online": True, "reason": "", "since": 0.0, "identity": None}
        return {**state, "slots": slots if self.known else None}

    def devices(self) -> list[dict[str, Any]]:
        return [self._document()]

    async def device(self, _name: str) -> dict[str, Any]:
        return self._document()

    async def roll_device_back(self, _name: str) -> dict[str, Any]:
        self.done.append("rollback")
        self.digest = "aa"
        return self._document()

    async def reset_device(self, _name: str) -> None:
        self.done.append("reset")


def operation(what: Operation, lamp: Lamp) -> OnDevices:
    return OnDevices(what, cast("FleetOperation", None), cast("DeviceControl", lamp))


def running(what: Operation, *, begun: int = 1, memo: Mapping[str, Any] | None = None) -> RunningCommand:
    command = FleetCommand(
        id="c1",
        operation=what,
        fleet="yard",
        audience=("gate",),
        issued_at=0.0,
        expires_at=1.0,
        nonce=b"",
        arguments={"device": "lamp", **({"component": "blink", "function": "set"} if what == "call" else {})},
    )
    kept: dict[str, Any] = dict(memo or {})

    async def remember(found: Mapping[str, Any]) -> None:
        kept.update(found)

    return RunningCommand(command, begun, kept, lambda _text: None, remember)


async def test_a_rollback_that_happened_before_the_restart_is_not_done_again() -> None:
    lamp = Lamp()
    first = running(Operation.ROLLBACK)
    result = await operation(Operation.ROLLBACK, lamp).run(first)
    assert (result["digest"], first.memo) == ("aa", {"running": "bb"})
    again = await operation(Operation.ROLLBACK, lamp).resume(
        running(Operation.ROLLBACK, begun=2, memo=first.memo)
    )
    assert (again["digest"], lamp.done) == ("aa", ["rollback"])


async def test_a_rollback_that_did_not_happen_before_the_restart_is_done() -> None:
    lamp = Lamp()
    await operation(Operation.ROLLBACK, lamp).resume(
        running(Operation.ROLLBACK, begun=2, memo={"running": "bb"})
    )
    assert lamp.done == ["rollback"]


async def test_what_a_silent_device_runs_is_not_guessed() -> None:
    with pytest.raises(UnavailableError, match="does not say"):
        await operation(Operation.ROLLBACK, Lamp(known=False)).run(running(Operation.ROLLBACK))


async def test_a_call_is_never_made_twice_and_a_restart_not_forever() -> None:
    with pytest.raises(UnavailableError, match="not known"):
        await operation(Operation.CALL, Lamp()).resume(running(Operation.CALL, begun=2))
    lamp = Lamp()
    await operation(Operation.RESTART, lamp).resume(running(Operation.RESTART, begun=2))
    with pytest.raises(EdgehostError, match="given up"):
        await operation(Operation.RESTART, lamp).resume(running(Operation.RESTART, begun=4))
    assert lamp.done == ["reset"]


@pytest.mark.parametrize(
    ("what", "lamp", "more", "about"),
    [
        (Operation.ROLLBACK, Lamp(), {}, "blink"),
        (Operation.RESTART, Lamp(known=False), {}, ""),
        (Operation.DEPLOY, Lamp(), {"component": "blink"}, "blink"),
        (Operation.DEPLOY, Lamp(), {"component": "other"}, ""),  # it takes blink's place
        (Operation.DEPLOY, Lamp(component=""), {"component": "other"}, "other"),
        (Operation.DEPLOY, Lamp(known=False), {"component": "other"}, ""),
        (Operation.CALL, Lamp(), {"component": "other", "function": "set"}, "other"),
    ],
)
def test_whoever_commands_a_device_must_be_allowed_what_runs_there(
    what: Operation, lamp: Lamp, more: dict[str, Any], about: str
) -> None:
    assert operation(what, lamp).about({"device": "lamp", **more}) == about


def test_arguments_are_read_strictly() -> None:
    with pytest.raises(NotFoundError, match="lump"):
        operation(Operation.LOGS, Lamp()).about({"device": "lump"})
    with pytest.raises(RefusedError, match="component"):
        operation(Operation.DEPLOY, Lamp()).about({"device": "lamp"})
    with pytest.raises(RefusedError, match="host"):
        operation(Operation.LOGS, Lamp()).about({"device": "lamp", "host": True})


def test_what_no_device_can_do_stays_the_hosts() -> None:
    host = cast("FleetOperation", None)
    both = with_devices({Operation.LOGS: host, Operation.FLASH: host}, cast("DeviceControl", Lamp()))
    assert list(both) == [Operation.LOGS]
