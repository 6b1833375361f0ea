"""Firmware goes to a fleet's devices in waves, as components do: one first, and no other when that one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from edgehost.domain.rollout_report import RolloutOrder, RolloutState
from tests.usecases.firmware_scene import LampWorld, WithLamp, lamp_deployment
from tests.usecases.rollout_scene import Board, Fleet, RolloutHost

NAMES = ("one", "two", "three")
WAVES = {"waves": [0.3, 1], "soak_s": 60}


class LampRolloutHost(WithLamp, RolloutHost):
    """A host in a fleet, with a lamp."""

    def __init__(self, name: str, world: LampWorld, board: Board) -> None:
        RolloutHost.__init__(self, name, world, board)
        self.attach(world)


class LampFleet(Fleet):
    """Each host has a lamp."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.lamps = {name: LampWorld(b"0.9.0") for name in names}
        self.worlds.update(self.lamps)

    @asynccontextmanager
    async def on(self) -> AsyncIterator[dict[str, RolloutHost]]:
        async with AsyncExitStack() as stack:
            self.hosts = {
                name: LampRolloutHost(name, world, self.board) for name, world in self.lamps.items()
            }
            for host in self.hosts.values():
                await stack.enter_async_context(host.followed())
            yield self.hosts

    def firmware(self, version: str) -> None:
        for world in self.lamps.values():
            world.firmware(version)

    def run(self) -> list[str]:
        """What the lamps say that they run."""
        return sorted(str(world.runs) for world in self.lamps.values())

    async def with_old(self) -> None:
        """All have 1.0.0 by a deployment; 1.1.0 is offered."""
        self.firmware("1.0.0")
        self.deploy(1, **lamp_deployment("=1.0.0"))
        await self.settle()
        assert self.run() == ["1.0.0"] * len(self.lamps)
        self.firmware("1.1.0")

    def deploy_new(self, **document: Any) -> None:
        rollout = {**WAVES, **document.pop("rollout", {})}
        self.deploy(2, **lamp_deployment("=1.1.0", rollout=rollout, **document))


async def test_one_device_goes_first_and_the_others_when_it_has_soaked() -> None:
    fleet = LampFleet(*NAMES)
    async with fleet.on():
        await fleet.with_old()
        fleet.deploy_new()
        await fleet.settle()
        assert fleet.run() == ["1.0.0", "1.0.0", "1.1.0"]
        await fleet.pass_by(60)
        assert fleet.run() == ["1.1.0"] * 3
        await fleet.pass_by(60)
        assert set(fleet.states(2).values()) == {RolloutState.SUCCESSFUL}


async def test_a_device_that_does_not_come_back_keeps_the_image_from_all_others() -> None:
    fleet = LampFleet(*NAMES)
    async with fleet.on():
        await fleet.with_old()
        for world in fleet.lamps.values():
            world.says[b"1.1.0"] = None
        fleet.deploy_new()
        await fleet.settle()
        await fleet.pass_by(20)
        await fleet.pass_by(60)
        assert fleet.run() == ["1.0.0"] * 3
        states = sorted(map(str, fleet.states(2).values()))
        assert states == ["failed", "halted", "halted"]
        assert sum(b"1.1.0" in world.written for world in fleet.lamps.values()) == 1


async def test_a_wave_of_devices_waits_for_its_approval() -> None:
    fleet = LampFleet(*NAMES)
    async with fleet.on():
        await fleet.with_old()
        fleet.deploy_new(rollout={"approve": [0, 1]})
        await fleet.settle()
        assert fleet.run() == ["1.0.0"] * 3
        fleet.order(RolloutOrder.APPROVE, 2, wave=0)
        await fleet.settle()
        assert fleet.run() == ["1.0.0", "1.0.0", "1.1.0"]


async def test_all_hosts_and_their_devices_go_together_or_not_at_all() -> None:
    fleet = LampFleet(*NAMES)
    async with fleet.on():
        await fleet.with_old()
        fleet.lamps["two"].says[b"1.1.0"] = None
        whole = {"on_failure": "all-or-none", "rollout": {"waves": [1], "all_hosts": True}}
        fleet.deploy_new(**whole)
        await fleet.settle()
        for _ in range(4):
            await fleet.pass_by(20)
        assert set(fleet.states(2).values()) == {RolloutState.FAILED}
        assert fleet.run() == ["1.0.0"] * 3


async def test_a_device_of_another_host_holds_nobody_up_and_one_that_no_host_has_holds_all() -> None:
    fleet = LampFleet("one", "two")
    fleet.board.devices = {"one": ["lamp", "heater"], "two": ["lamp"]}
    async with fleet.on() as hosts:
        fleet.firmware("1.0.0")
        heater = {"lamp": "lamp-firmware@=1.0.0", "heater": "lamp-firmware@=1.0.0"}
        fleet.deploy(1, firmware=heater)
        await fleet.settle()
        assert hosts["two"].held().state is RolloutState.SUCCESSFUL
        standing = {each.component: each for each in hosts["two"].reconciler.standing["site"]}
        assert standing["device heater"].reason == "It is a device of one, not of this host."

        fleet.deploy(2, firmware={"heeter": "lamp-firmware@=1.0.0"})
        await fleet.settle()
        assert set(fleet.states(2).values()) == {RolloutState.APPLYING}
        said = {each.reason for each in fleet.board.reports.values()}
        assert said == {"device heeter: There is no device 'heeter' here; there is lamp."}
        fleet.board.devices["two"] = ["heeter"]  # it comes after all: who does not have it waits no more
        hosts["one"].reconciler.wake()
        await fleet.settle()
        assert hosts["one"].held().state is RolloutState.SUCCESSFUL

        fleet.deploy(3, firmware={"heeter": "lamp-firmware@=1.0.0"}, hosts={"ids": ["one"]})
        await fleet.settle()
        assert hosts["one"].held().state is RolloutState.APPLYING  # it is not for the host that has it
