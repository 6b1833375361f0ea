"""Exported constants of a module, read from its bytes: wasm3's binding shows no globals."""

from __future__ import annotations

from typing import Final

from edgehost.adapters.sandbox.worker.faults import invalid
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.wasm_sections import EXPORT, WasmReader, read_sections

_GLOBAL: Final = 6
_GLOBAL_KIND: Final = 3
_MOST_ITEMS: Final = 100_000
_I32_CONST, _I64_CONST, _F32_CONST, _F64_CONST, _END = 0x41, 0x42, 0x43, 0x44, 0x0B
_LONGEST_LEB: Final = 10


def exported_constants(wasm: bytes) -> dict[str, int]:
    """The i32 globals that are exported, immutable and begin with a constant; unsigned.

    Raises:
        Fault: the bytes are damaged.
    """
    values: list[int | None] = []
    found: dict[str, int] = {}
    try:
        for part in read_sections(wasm):
            if part.id == _GLOBAL:
                reader = part.reader()
                values = [_read_global(reader) for _ in range(reader.count("globals", _MOST_ITEMS))]
            elif part.id == EXPORT:
                found = _read_exports(part.reader(), values)
    except InvalidComponentError as error:
        raise invalid(error.message, error.hint) from None
    return found


def _read_global(reader: WasmReader) -> int | None:
    kind, mutable, operation = reader.byte(), reader.byte(), reader.byte()
    value = None
    if operation in {_I32_CONST, _I64_CONST}:
        number = _signed(reader)
        if operation == _I32_CONST and not mutable:
            value = number & 0xFFFFFFFF
    elif operation in {_F32_CONST, _F64_CONST}:
        reader.take(4 if operation == _F32_CONST else 8)
    else:  # global.get and references: an index
        reader.u32()
    if reader.byte() != _END:
        raise reader.fault(f"has a global of type {kind} with an initial value that is no constant")
    return value


def _signed(reader: WasmReader) -> int:
    value = 0
    for place in range(_LONGEST_LEB):
        byte = reader.byte()
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value - (1 << 7 * (place + 1)) if byte & 0x40 else value
    raise reader.fault("has a number of more than ten bytes")


def _read_exports(reader: WasmReader, values: list[int | None]) -> dict[str, int]:
    found = {}
    for _ in range(reader.count("exports", _MOST_ITEMS)):
        name, kind, index = reader.name(), reader.byte(), reader.u32()
        value = values[index] if kind == _GLOBAL_KIND and index < len(values) else None
        if value is not None:
            found[name] = value
    return found
