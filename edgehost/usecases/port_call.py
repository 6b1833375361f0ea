"""One call of a port: let through by its breakers, timed, repeated within bounds, counted, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from edgehost.domain.call_policy import before, breaker_rules, policy_of
from edgehost.domain.errors import CircuitOpenError, EdgehostError, PortTimeoutError, UnavailableError
from edgehost.domain.port_events import PortFailed, PortSucceeded
from edgehost.domain.port_spec import PortSpec
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.port_rooms import PortRooms


@dataclass(frozen=True, slots=True)
class PortOutcome:
    """What came of a call."""

    answer: Any = None
    record: Record | None = None  # when the answer changed it, or created it
    tries: int = 1
    produced: str = ""  # the event that was published
    fallback: bool = False  # the breaker was open, and the fallback answered


@dataclass(frozen=True, slots=True)
class Taken:
    """What was made of an answer."""

    answer: Any = None
    record: Record | None = None


@dataclass(slots=True)
class PortCall:
    """A call to be made, and how often it was tried until now."""

    model: str
    port: str
    spec: PortSpec
    record_id: str
    once: Callable[[float], Awaitable[Any]]  # one try, until that time on the event loop's clock
    instead: Callable[[str], Awaitable[Any]]  # asks the export that is named as fallback
    take: Callable[[Any], Awaitable[Taken]]  # stores what the answer makes of a record; never repeated
    tells: bool = True  # of its success; a workflow tells of its steps itself, once they are stored
    tries: int = 0
    fallback: bool = False


async def settled_call(rooms: PortRooms, call: PortCall, context: CallContext) -> PortOutcome:
    """Make the call, store what comes of it, then tell; failure is told as well.

    Raises:
        CircuitOpenError: a breaker is open and names no fallback.
        EdgehostError: of the last try, or of storing.
    """
    answered = False
    try:
        answer = await _tried(rooms, call, context)
        answered = True
        taken = await call.take(answer)
    except EdgehostError as error:
        error.acted = answered or call.tries > 1
        rooms.keeping.bus.publish(
            PortFailed(
                at=rooms.keeping.clock.now(),
                model=call.model,
                port=call.port,
                id=call.record_id,
                code=error.code,
                reason=error.message,
                tries=call.tries,
            )
        )
        raise
    if call.tells:
        rooms.keeping.bus.publish(
            PortSucceeded(
                at=rooms.keeping.clock.now(),
                model=call.model,
                port=call.port,
                id=call.record_id or (taken.record.id if taken.record is not None else ""),
                event=call.spec.produces,
                answer=taken.answer,
                tries=call.tries,
                fallback=call.fallback,
            )
        )
    return PortOutcome(taken.answer, taken.record, call.tries, call.spec.produces, fallback=call.fallback)


async def _tried(rooms: PortRooms, call: PortCall, context: CallContext) -> Any:  # noqa: ANN401 - JSON
    """The answer of the first try that succeeds, or of the fallback while a breaker is open."""
    loop, clock = asyncio.get_running_loop(), rooms.keeping.clock
    policy, rules = policy_of(call.spec), breaker_rules(call.spec)
    until = min(loop.time() + policy.budget_s, before(context.deadline, loop.time()))
    last: EdgehostError | None = None
    while True:
        refusing = rooms.breakers.refusing(call.model, call.port, rules, clock.monotonic())
        if refusing:
            if rules[refusing].fallback:
                call.fallback = True
                return await call.instead(rules[refusing].fallback)
            raise last or _open_error(rooms, call, refusing)
        if last is not None:
            pause_s = policy.pause_s(call.tries, last, left_s=until - loop.time(), chance=rooms.chance())
            if pause_s is None:
                raise last
            await rooms.pause(pause_s)
            if rooms.breakers.refusing(call.model, call.port, rules, clock.monotonic()):
                continue  # others made it open meanwhile
        admission = rooms.breakers.admit(call.model, call.port, rules, clock.monotonic())
        call.tries += 1
        try:
            answer = await _once(call, min(until, loop.time() + policy.try_s))
        except EdgehostError as error:
            rooms.breakers.note(admission, rules, error, clock.monotonic())
            last = error
        except BaseException:  # the caller gave up
            rooms.breakers.abandon(admission)
            raise
        else:
            rooms.breakers.note(admission, rules, None, clock.monotonic())
            return answer


async def _once(call: PortCall, until: float) -> Any:  # noqa: ANN401 - JSON
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            return await call.once(until)
    except TimeoutError as error:
        if limit.expired():
            raise PortTimeoutError(
                f"{call.model}.{call.port} had no answer in time; the call was ended.",
                hint="Raise timeout_ms of the port, or see why what it leads to is slow.",
            ) from None
        raise UnavailableError(f"{call.model}.{call.port} had no answer in time: {error}") from None


def _open_error(rooms: PortRooms, call: PortCall, refusing: str) -> CircuitOpenError:
    rules = breaker_rules(call.spec)
    states = rooms.breakers.state_of(call.model, call.port, rules, rooms.keeping.clock.monotonic())
    return CircuitOpenError(
        f"{call.model}.{call.port} failed too often of late ('{refusing}'); it is left alone.",
        hint=f"It is tried again in {states[refusing]['retest_in_s']:g} s.",
    )
