"""The parameters of a vehicle: read, listed, and written with what it kept read back."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.exchange import Exchange
from edgehost.adapters.vehicles.parameter_values import raw_value, value_of, wire_of, with_raw_value
from edgehost.domain.errors import NotFoundError, RefusedError, TooLargeError, UnavailableError

#: ArduPilot has about 1400 and PX4 about 1100.
_MOST: Final = 5000
_ROUNDS: Final = 4
_AT_ONCE: Final = 32  # that are asked again before their answers are waited for
_QUIET_S: Final = 0.75  # a list that does not go on for so long has holes

_ERRORS: Final = {
    mavlink.MAV_PARAM_ERROR_VALUE_OUT_OF_RANGE: "out of range",
    mavlink.MAV_PARAM_ERROR_PERMISSION_DENIED: "not permitted",
    mavlink.MAV_PARAM_ERROR_READ_ONLY: "read-only",
}


async def read_parameter(exchange: Exchange, name: str) -> Any:  # noqa: ANN401 - PARAM_VALUE
    """What the vehicle says of one.

    Raises:
        NotFoundError: it says that it has none of this name.
        UnavailableError: it says nothing, which older autopilots also do for names that they do not know.
    """

    def request(_attempt: int) -> Any:  # noqa: ANN401 - pymavlink's message
        return mavlink.MAVLink_param_request_read_message(*exchange.target, name.encode(), -1)

    return _checked(
        await exchange.asked(
            request, ("PARAM_VALUE", "PARAM_ERROR"), lambda m: m.param_id == name, f"a read of {name}"
        ),
        name,
    )


async def write_parameter(exchange: Exchange, name: str, value: float) -> dict[str, Any]:
    """Write one and read back what the vehicle kept: ``{"name", "value", "before"}``.

    Raises:
        RefusedError: it kept another value, or the value does not fit.
        NotFoundError, UnavailableError: as ``read_parameter``.
    """
    known = await read_parameter(exchange, name)
    kind, bytewise = known.param_type, exchange.state.bytewise
    before = value_of(raw_value(known), kind, bytewise=bytewise)
    wire = wire_of(value, kind, bytewise=bytewise)

    def request(_attempt: int) -> Any:  # noqa: ANN401 - pymavlink's message
        message = mavlink.MAVLink_param_set_message(*exchange.target, name.encode(), 0.0, kind)
        return with_raw_value(message, wire)

    _checked(
        await exchange.asked(
            request, ("PARAM_VALUE", "PARAM_ERROR"), lambda m: m.param_id == name, f"a write of {name}"
        ),
        name,
    )
    kept = value_of(raw_value(await read_parameter(exchange, name)), kind, bytewise=bytewise)
    sent = value_of(wire, kind, bytewise=bytewise)
    if kept is None or sent is None or not math.isclose(kept, sent, rel_tol=1e-6, abs_tol=1e-9):
        raise RefusedError(
            f"The vehicle '{exchange.state.name}' kept {kept} in {name} instead of {value}.",
            hint="The value is out of its range, or the parameter cannot be written now.",
        )
    return {"name": name, "value": kept, "before": before}


async def list_parameters(exchange: Exchange) -> dict[str, float | int | None]:
    """All of them by name; holes in what came are asked for again.

    Raises:
        TooLargeError: there are more than a host takes.
        UnavailableError: some never come.
    """
    found: dict[int, tuple[str, float | int | None]] = {}
    count = -1
    with exchange.expecting("PARAM_VALUE") as answers:
        for round_number in range(_ROUNDS * (1 + _MOST // _AT_ONCE)):
            missing = [index for index in range(count) if index not in found]
            if count >= 0 and not missing:
                break
            before = len(found)
            _ask(exchange, missing, whole=count < 0)
            while count < 0 or len(found) < count:
                try:
                    async with asyncio.timeout(_QUIET_S if count >= 0 else exchange.answer_s):
                        answer = await answers.next()
                except TimeoutError:
                    break
                if answer.param_count > _MOST:
                    raise TooLargeError(
                        f"The vehicle has {answer.param_count} parameters, more than {_MOST}."
                    )
                if answer.param_index < answer.param_count:  # 65535 answers a read by name
                    count = answer.param_count
                    value = value_of(raw_value(answer), answer.param_type, bytewise=exchange.state.bytewise)
                    found[answer.param_index] = (answer.param_id, value)
            if len(found) == before and round_number >= _ROUNDS - 1:
                break
    if count < 0 or len(found) < count:
        raise UnavailableError(
            f"The vehicle '{exchange.state.name}' told {len(found)} of {max(count, 0)} parameters."
        )
    return dict(sorted(found.values()))


def _ask(exchange: Exchange, missing: list[int], *, whole: bool) -> None:
    if whole:
        exchange.send(mavlink.MAVLink_param_request_list_message(*exchange.target))
    for index in missing[:_AT_ONCE]:
        exchange.send(mavlink.MAVLink_param_request_read_message(*exchange.target, b"", index))


def _checked(answer: Any, name: str) -> Any:  # noqa: ANN401 - pymavlink's message
    if answer.get_type() == "PARAM_VALUE":
        return answer
    if answer.error == mavlink.MAV_PARAM_ERROR_DOES_NOT_EXIST:
        raise NotFoundError(f"The vehicle has no parameter {name}.")
    raise RefusedError(f"The vehicle refused {name}: {_ERRORS.get(answer.error, f'error {answer.error}')}.")
