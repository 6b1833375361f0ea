"""One call of a port, with everything around it decided by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.circuit_breaker import Position
from edgehost.domain.errors import (
    BusyError,
    CircuitOpenError,
    GuestFailedError,
    PortTimeoutError,
    StorageFullError,
    UnavailableError,
)
from edgehost.domain.port_spec import BreakerRule, Direction, PortSpec
from edgehost.domain.record import RevisionClock
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.bind_port import Bindings
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.local_directory import LocalDirectory
from edgehost.usecases.port_breakers import PortBreakers
from edgehost.usecases.port_call import PortCall, Taken, settled_call
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents
from tests.usecases.deploy_scene import StillClock

SPEC = PortSpec(Direction.OUTBOUND, retries=3, backoff_ms=1000, backoff_most_ms=4000)


class MemoryBindings:
    """A BindingStore that can be full."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.full = False

    async def load(self) -> dict[str, str]:
        return dict(self.kept)

    async def keep(self, bindings: Any) -> None:
        if self.full:
            raise StorageFullError("full")
        self.kept = dict(bindings)


class Scene:
    """Rooms whose pauses take no time and are noted."""

    def __init__(self) -> None:
        self.clock, self.bus, running = StillClock(), LocalEventBus(), RunningComponents()
        self.moves: list[Position] = []
        self.pauses: list[float] = []
        self.store = MemoryBindings()
        self.rooms = PortRooms(
            keeping=RecordKeeping(MemoryRecords(), self.bus, self.clock, RevisionClock("test"), running),
            models=LiveModels(),
            directory=LocalDirectory(running),
            bindings=Bindings(self.store, self.bus, self.clock, {}),
            breakers=PortBreakers(lambda _model, _port, _class, position: self.moves.append(position)),
            chance=lambda: 0.5,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.pass_by(seconds)

    async def call(
        self,
        once: Callable[[], Any],
        spec: PortSpec = SPEC,
        context: CallContext = CallContext(),
        **more: Any,
    ) -> Any:
        async def tried(_until: float) -> Any:
            answer = once()
            return await answer if asyncio.iscoroutine(answer) else answer

        async def instead(export: str) -> Any:
            return f"by {export}"

        async def take(answer: Any) -> Taken:
            return Taken(answer)

        call = PortCall("m", "p", spec, "", tried, instead, more.get("take", take))
        return await settled_call(self.rooms, call, context)


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [times]

    def once() -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return "answer"

    return once


async def test_what_may_pass_is_tried_again_with_growing_jittered_pauses() -> None:
    scene = Scene()
    outcome = await scene.call(failing(3, BusyError("full")))
    assert (outcome.answer, outcome.tries) == ("answer", 4)
    assert scene.pauses == [0.5, 1.0, 2.0]


async def test_the_last_tries_error_is_told_when_none_succeeds() -> None:
    scene = Scene()
    with pytest.raises(BusyError):
        await scene.call(failing(4, BusyError("full")))
    assert len(scene.pauses) == 3


async def test_a_refusal_is_told_at_once_and_leaves_the_breaker_closed() -> None:
    scene = Scene()
    for _ in range(20):
        with pytest.raises(GuestFailedError):
            await scene.call(failing(1, GuestFailedError("no")))
    assert scene.pauses == []
    assert scene.moves == []


async def test_what_takes_the_answer_is_never_repeated() -> None:
    scene, taken = Scene(), []

    async def take(answer: Any) -> Taken:
        taken.append(answer)
        raise UnavailableError("the disk is away")

    with pytest.raises(UnavailableError):
        await scene.call(lambda: "answer", take=take)
    assert taken == ["answer"]


async def test_a_caller_that_gives_up_makes_room_for_the_next_trial() -> None:
    scene = Scene()
    rule = BreakerRule(call_volume=1, error_rate=0.0, retest_ms=1000)
    spec = replace(SPEC, retries=0, breaker={"default": rule})
    with pytest.raises(BusyError):
        await scene.call(failing(1, BusyError("full")), spec)
    scene.clock.pass_by(1)
    begun = asyncio.Event()

    async def hangs() -> None:
        begun.set()
        await asyncio.Event().wait()

    trial = asyncio.create_task(scene.call(hangs, spec))
    await begun.wait()
    with pytest.raises(CircuitOpenError):  # the one that is let through is on its way
        await scene.call(lambda: "answer", spec)
    trial.cancel()
    await asyncio.wait({trial})
    assert (await scene.call(lambda: "answer", spec)).answer == "answer"
    assert scene.moves == [Position.OPEN, Position.HALF_OPEN, Position.CLOSED]


async def test_many_calls_at_the_moment_of_the_retest_let_one_through() -> None:
    scene = Scene()
    rule = BreakerRule(call_volume=1, error_rate=0.0, retest_ms=1000)
    spec = replace(SPEC, retries=0, breaker={"default": rule})
    with pytest.raises(BusyError):
        await scene.call(failing(1, BusyError("full")), spec)
    scene.clock.pass_by(1)
    through, gate = [], asyncio.Event()

    async def counted() -> str:
        through.append(1)
        await gate.wait()
        return "answer"

    async def one() -> str:
        try:
            return str((await scene.call(counted, spec)).answer)
        except CircuitOpenError:
            return "refused"

    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(one()) for _ in range(50)]
        while sum(call.done() for call in calls) < 49:
            await asyncio.sleep(0)
        gate.set()
    assert len(through) == 1
    assert sorted(call.result() for call in calls) == ["answer"] + ["refused"] * 49


async def test_a_failure_of_one_class_neither_opens_nor_closes_the_breaker_of_another() -> None:
    scene = Scene()
    rule = BreakerRule(call_volume=1, error_rate=0.0, retest_ms=1000)
    spec = replace(SPEC, retries=0, breaker={"port-timeout": rule, "busy": rule})
    with pytest.raises(PortTimeoutError):
        await scene.call(failing(1, PortTimeoutError("late")), spec)
    scene.clock.pass_by(1)
    with pytest.raises(BusyError):  # the trial of one fails at the other's concern
        await scene.call(failing(1, BusyError("full")), spec)
    state = scene.rooms.breakers.state_of("m", "p", spec.breaker, scene.clock.monotonic())
    assert state["port-timeout"]["position"] == "half-open"
    assert state["busy"]["position"] == "open"


async def test_a_changed_rule_starts_its_breaker_anew() -> None:
    scene = Scene()
    rule = BreakerRule(call_volume=1, error_rate=0.0)
    spec = replace(SPEC, retries=0, breaker={"default": rule})
    with pytest.raises(BusyError):
        await scene.call(failing(1, BusyError("full")), spec)
    with pytest.raises(CircuitOpenError):
        await scene.call(lambda: "answer", spec)
    other = replace(spec, breaker={"default": replace(rule, call_volume=2)})
    assert (await scene.call(lambda: "answer", other)).answer == "answer"
    scene.rooms.breakers.forget_others(frozenset())
    assert (await scene.call(lambda: "answer", spec)).answer == "answer"


async def test_a_caller_with_little_time_hears_of_a_time_out_before_its_own() -> None:
    scene = Scene()
    deadline = asyncio.get_running_loop().time() + 2

    async def hangs() -> None:
        await asyncio.Event().wait()

    with pytest.raises(PortTimeoutError):
        await scene.call(hangs, SPEC, CallContext(("guest",), deadline))
    assert asyncio.get_running_loop().time() < deadline


async def test_a_time_out_inside_what_is_called_is_no_time_out_of_the_port() -> None:
    scene = Scene()
    with pytest.raises(UnavailableError) as raised:
        await scene.call(failing(9, TimeoutError("inner")), replace(SPEC, retries=0))
    assert not isinstance(raised.value, PortTimeoutError)


async def test_bindings_that_cannot_be_kept_do_not_hold() -> None:
    scene = Scene()
    bindings = scene.rooms.bindings
    await bindings.bind("m.p", "first")
    scene.store.full = True
    with pytest.raises(StorageFullError):
        await bindings.bind("m.p", "second")
    assert bindings.table.operator == {"m.p": "first"}
    scene.store.full = False
    again = Bindings(scene.store, scene.bus, scene.clock, {})
    await again.load()
    assert again.table.operator == {"m.p": "first"}
