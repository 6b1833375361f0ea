"""How a parameter's value stands in its four bytes: a float, an integer as a float, or an integer's own bytes."""

from __future__ import annotations

import math
import struct
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.domain.errors import RefusedError

#: MAV_PARAM_TYPE of integers: how they stand in the four bytes of the float, and their range.
_INTEGERS: Final = {
    mavlink.MAV_PARAM_TYPE_UINT8: ("<Bxxx", 0, 2**8 - 1),
    mavlink.MAV_PARAM_TYPE_INT8: ("<bxxx", -(2**7), 2**7 - 1),
    mavlink.MAV_PARAM_TYPE_UINT16: ("<Hxx", 0, 2**16 - 1),
    mavlink.MAV_PARAM_TYPE_INT16: ("<hxx", -(2**15), 2**15 - 1),
    mavlink.MAV_PARAM_TYPE_UINT32: ("<I", 0, 2**32 - 1),
    mavlink.MAV_PARAM_TYPE_INT32: ("<i", -(2**31), 2**31 - 1),
}
_BYTES: Final = 4
_HEADER_BYTES: Final = {0xFD: 10, 0xFE: 6}  # of MAVLink 2 and 1


def raw_value(message: Any) -> bytes:  # noqa: ANN401 - PARAM_VALUE or PARAM_SET
    """The four bytes as they came: a float that was taken for an integer's bytes would lose some of its NaNs."""
    frame = bytes(message.get_msgbuf())
    start = _HEADER_BYTES[frame[0]]
    return frame[start : start + _BYTES].ljust(_BYTES, b"\0")


def with_raw_value(message: Any, raw: bytes) -> Any:  # noqa: ANN401 - PARAM_VALUE or PARAM_SET
    """The message, with these bytes as its value, which is first in its payload."""
    pack = message._pack  # noqa: SLF001 - pymavlink has no other way to keep all bits

    def packed(mav: Any, crc_extra: int, payload: bytes, **more: Any) -> Any:  # noqa: ANN401 - pymavlink's
        return pack(mav, crc_extra, raw + payload[_BYTES:], **more)

    message._pack = packed  # noqa: SLF001 - as above
    return message


def value_of(raw: bytes, kind: int, *, bytewise: bool) -> float | int | None:
    """A parameter's value; None stands for a float that is no number."""
    form = _INTEGERS.get(kind)
    if form is not None and bytewise:
        return int(struct.unpack(form[0], raw)[0])
    (wire,) = struct.unpack("<f", raw)
    if not math.isfinite(wire):
        return None
    return _shortest(wire) if form is None else round(wire)


def wire_of(value: float, kind: int, *, bytewise: bool) -> bytes:
    """The four bytes that carry a value.

    Raises:
        RefusedError: the parameter's type cannot hold it.
    """
    form = _INTEGERS.get(kind)
    if form is None:
        if abs(value) > 3.4e38:  # noqa: PLR2004 - what a float of four bytes holds
            raise RefusedError(f"{value} is more than the parameter can hold.")
        return struct.pack("<f", value)
    if value != int(value) or not form[1] <= value <= form[2]:
        raise RefusedError(f"{value} is no whole number from {form[1]} to {form[2]}, as the parameter needs.")
    if bytewise:
        return struct.pack(form[0], int(value))
    raw = struct.pack("<f", value)
    if struct.unpack("<f", raw)[0] != value:
        raise RefusedError(
            f"{value} cannot be carried exactly to this autopilot.", hint="Take a rounder one."
        )
    return raw


def _shortest(wire: float) -> float:
    """0.1 instead of 0.10000000149: the shortest number that is the same in four bytes."""
    for digits in (6, 7, 8):
        short = float(f"{wire:.{digits}g}")
        if struct.pack("<f", short) == struct.pack("<f", wire):
            return short
    return wire
