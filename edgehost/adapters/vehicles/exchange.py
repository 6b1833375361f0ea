"""Requests to a vehicle and what answers them: each is repeated until it is answered or given up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.vehicle_state import VehicleState
from edgehost.domain.errors import BusyError, RefusedError, UnavailableError

#: Answers that wait for the one who asked; the list of parameters comes in bursts.
_MOST_WAITING: Final = 512
#: Calls of one kind that are under way or wait for their turn.
_MOST_CALLS: Final = 8
_NO_PLACE: Final = 2**31 - 1  # COMMAND_INT's word for "where it is"
_TRIES: Final = 4  # the first one and three more, each after `answer_s`

_RESULTS: Final = {
    mavlink.MAV_RESULT_TEMPORARILY_REJECTED: "rejected it for now",
    mavlink.MAV_RESULT_DENIED: "denied it: its values are not accepted",
    mavlink.MAV_RESULT_UNSUPPORTED: "does not know it",
    mavlink.MAV_RESULT_FAILED: "tried it and failed",
    6: "says that it was cancelled",  # MAV_RESULT_CANCELLED
    7: "takes it as COMMAND_LONG only",
    8: "takes it as COMMAND_INT only",
    9: "does not support the frame of its position",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One MAV_CMD with its seven parameters; with a frame it goes as COMMAND_INT and has a position in degrees."""

    command: int
    params: tuple[float, ...] = ()
    frame: int | None = None


class Answers:
    """Messages that came and were not yet looked at; the oldest give way."""

    def __init__(self, vehicle: str) -> None:
        self._vehicle = vehicle
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(_MOST_WAITING)

    def put(self, message: Any) -> None:  # noqa: ANN401 - pymavlink's message; None: no more will come
        """Add one."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(message)

    async def next(self) -> Any:  # noqa: ANN401 - pymavlink's message
        """The oldest.

        Raises:
            UnavailableError: the vehicle was lost meanwhile.
        """
        if (message := await self._waiting.get()) is None:
            raise UnavailableError(f"The vehicle '{self._vehicle}' was lost before it had answered.")
        return message


class Exchange:
    """Sends messages to the vehicle and hands what comes to those who wait for it."""

    def __init__(self, send: Callable[[Any], None], state: VehicleState, own: tuple[int, int]) -> None:
        self.send, self.state = send, state
        self.answer_s = 1.5  # MAVLink's command protocol suggests a second or two
        self._own = own
        self._waiters: list[tuple[tuple[str, ...], Answers]] = []
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def target(self) -> tuple[int, int]:
        """System and component of the vehicle.

        Raises:
            UnavailableError: no vehicle is there.
        """
        if not self.state.present:
            raise UnavailableError(
                f"The vehicle '{self.state.name}' is not heard.", hint="Look at the link and its url."
            )
        return self.state.system_id, self.state.component_id

    def heard(self, message: Any) -> None:  # noqa: ANN401 - pymavlink's message
        """Hand a message of the vehicle to those who wait for its kind."""
        target = getattr(message, "target_system", 0)
        if target not in {0, self._own[0]}:
            return  # an answer to another ground station
        kind = message.get_type()
        for kinds, waiting in self._waiters:
            if kind in kinds:
                waiting.put(message)

    def gone(self) -> None:
        """Tell those who wait that the vehicle is lost."""
        for _, waiting in self._waiters:
            waiting.put(None)

    @contextmanager
    def expecting(self, *kinds: str) -> Iterator[Answers]:
        """Messages of these kinds as they come."""
        waiting = Answers(self.state.name)
        entry = (kinds, waiting)
        self._waiters.append(entry)
        try:
            yield waiting
        finally:
            self._waiters.remove(entry)

    @asynccontextmanager
    async def turn(self, kind: str) -> AsyncIterator[None]:
        """One call of a kind after the other; those of other kinds go on, so that a landing waits for no list.

        Raises:
            BusyError: too many wait for it already.
        """
        lock, calls = self._turns.get(kind) or (asyncio.Lock(), 0)
        if calls >= _MOST_CALLS:
            raise BusyError(f"{calls} calls of this kind wait for the vehicle '{self.state.name}' already.")
        self._turns[kind] = (lock, calls + 1)
        try:
            async with lock:
                yield
        finally:
            left = self._turns[kind][1] - 1
            if left:
                self._turns[kind] = (lock, left)
            else:
                del self._turns[kind]

    async def asked(
        self, message: Callable[[int], Any], kinds: tuple[str, ...], fits: Callable[[Any], bool], what: str
    ) -> Any:  # noqa: ANN401 - pymavlink's message
        """The first fitting answer to a message, which is sent again when none comes; it gets the attempt's number.

        Raises:
            UnavailableError: no answer to any of them.
        """
        with self.expecting(*kinds) as answers:
            return await self._answered(answers, message, fits, what)

    async def _answered(
        self,
        answers: Answers,
        message: Callable[[int], Any],
        fits: Callable[[Any], bool],
        what: str,
    ) -> Any:  # noqa: ANN401 - pymavlink's message
        for attempt in range(_TRIES):
            self.send(message(attempt))
            try:
                async with asyncio.timeout(self.answer_s):
                    while not fits(answer := await answers.next()):
                        pass
            except TimeoutError:
                _ = self.target
                continue
            return answer
        raise UnavailableError(f"The vehicle '{self.state.name}' did not answer to {what} in {_TRIES} tries.")

    async def commanded(self, order: Order, progress: Callable[[int], None]) -> None:
        """Have an order carried out; while the vehicle says that it is in progress, wait on.

        Raises:
            RefusedError: the vehicle will not or cannot, with its reason in words.
            UnavailableError: it does not answer, or not now.
        """
        what = command_name(order.command)
        with self.expecting("COMMAND_ACK") as answers:
            answer = await self._answered(
                answers,
                lambda attempt: self._message(order, attempt),
                lambda ack: ack.command == order.command,
                what,
            )
            while answer.result == mavlink.MAV_RESULT_IN_PROGRESS:
                progress(answer.progress if answer.progress <= 100 else -1)  # noqa: PLR2004 - percent
                while (answer := await answers.next()).command != order.command:
                    pass
        if answer.result == mavlink.MAV_RESULT_ACCEPTED:
            return
        said = f"The vehicle '{self.state.name}' {_RESULTS.get(answer.result, f'answered {answer.result}')}"
        hint = self.state.texts[-1]["text"] if self.state.texts else ""
        kind = UnavailableError if answer.result == mavlink.MAV_RESULT_TEMPORARILY_REJECTED else RefusedError
        raise kind(f"{said}: {what}.", hint=hint and f"It last said: {hint}")

    def tell(self, order: Order) -> None:
        """Send an order without waiting for what becomes of it."""
        self.send(self._message(order, 0))

    def _message(self, order: Order, attempt: int) -> Any:  # noqa: ANN401 - pymavlink's message
        system, component = self.target
        params = (*order.params, *(0.0,) * (7 - len(order.params)))
        if order.frame is None:
            return mavlink.MAVLink_command_long_message(system, component, order.command, attempt, *params)
        x, y = (_NO_PLACE if math.isnan(each) else _whole(each * 1e7) for each in params[4:6])
        return mavlink.MAVLink_command_int_message(
            system, component, order.frame, order.command, 0, 0, *params[:4], x, y, params[6]
        )


def _whole(value: float) -> int:
    return round(max(-_NO_PLACE, min(_NO_PLACE, value)))


def command_name(number: int) -> str:
    """``MAV_CMD_...``, or the number."""
    known = mavlink.enums["MAV_CMD"].get(number)
    return str(known.name) if known is not None else f"MAV_CMD {number}"


def command_number(name: str) -> int | None:
    """The number of ``MAV_CMD_NAME``; None when the dialect has none of this name."""
    return next((number for number, each in mavlink.enums["MAV_CMD"].items() if each.name == name), None)
