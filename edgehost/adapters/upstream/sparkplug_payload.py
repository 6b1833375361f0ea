"""Payloads of Sparkplug B, as its protobuf schema has them: the part of it that an edge node needs. Pure.

The libraries that there are pin paho-mqtt below 2 or protobuf 3, or want Python 3.12; the schema's scalar metrics are
three messages. Numbers of fields: ``sparkplug_b.proto`` of Eclipse Tahu. Wire format: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.upstream_node import Value

INT64: Final = 4
DOUBLE: Final = 10
BOOLEAN: Final = 11
STRING: Final = 12

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_U64: Final = 2**64
_LONGEST_VARINT: Final = 10
#: A command has a handful of metrics.
_MOST_METRICS: Final = 256
_METRICS: Final = 2  # the field of a payload


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; ``value`` None: it has none now. ``unit`` becomes the property engUnit."""

    name: str
    datatype: int
    value: Value
    at_ms: int = 0
    unit: str = ""


def encode_payload(metrics: Iterable[Metric], *, at_ms: int, seq: int | None) -> bytes:
    """A payload; ``seq`` is None for an NDEATH, which has none."""
    parts = [_number(1, at_ms)]
    parts += [_bytes(2, _metric(each)) for each in metrics]
    if seq is not None:
        parts.append(_number(3, seq))
    return b"".join(parts)


def _metric(metric: Metric) -> bytes:
    parts = [_bytes(1, metric.name.encode())]
    if metric.at_ms:
        parts.append(_number(3, metric.at_ms))
    parts.append(_number(4, metric.datatype))
    if metric.value is None:
        parts.append(_number(7, 1))
    if metric.unit:
        value = _number(1, STRING) + _bytes(8, metric.unit.encode())
        parts.append(_bytes(9, _bytes(1, b"engUnit") + _bytes(2, value)))
    if metric.value is not None:
        parts.append(_value(metric.datatype, metric.value))
    return b"".join(parts)


def _value(datatype: int, value: bool | float | str) -> bytes:  # noqa: FBT001 - a value
    if datatype == INT64:
        return _number(11, int(value) % _U64)  # two's complement
    if datatype == DOUBLE:
        return _key(13, _FIXED64) + struct.pack("<d", float(value))
    if datatype == BOOLEAN:
        return _number(14, int(bool(value)))
    return _bytes(15, str(value).encode("utf-8", "replace"))


def datatype_of(value: Value) -> int:
    """All numbers are doubles: what is whole now need not be so the next time, and a datatype stays."""
    match value:
        case bool():
            return BOOLEAN
        case str():
            return STRING
        case _:
            return DOUBLE


def asked_for(payload: bytes, name: str) -> bool:
    """Whether a command sets this Boolean metric.

    Raises:
        RefusedError: it is no payload of Sparkplug B.
    """
    metrics = 0
    for number, value in _fields(payload):
        if number != _METRICS or not isinstance(value, bytes):
            continue
        metrics += 1
        if metrics > _MOST_METRICS:
            raise RefusedError("The command has too many metrics.")
        members = dict(_fields(value))
        if members.get(1) == name.encode() and members.get(14) == 1:
            return True
    return False


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if wire == _BYTES:
            size, at = _read_varint(message, at)
        if size < 0 or at + size > len(message):
            raise RefusedError("The message is no payload of Sparkplug B.")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value % _U64, at + index + 1
    raise RefusedError("The message is no payload of Sparkplug B.")


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _bytes(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
