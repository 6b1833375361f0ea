"""What a module needs of an engine: the features that its code uses, and the linear memory that it starts with.

The code is walked, opcode by opcode, and never run (WebAssembly core specification 2.0, chapter 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.wasm_sections import EXPORT, IMPORT, MEMORY, TYPE, WasmReader, read_sections

_GLOBAL, _DATA_COUNT, _CODE, _DATA = 6, 12, 10, 11
_FLOATS: Final = frozenset({0x7C, 0x7D})
_MOST: Final = 100_000
_I32_CONST, _END = 0x41, 0x0B
_LONGEST_LEB: Final = 10
_GLOBAL_KIND: Final = 3
PAGE_BYTES: Final = 65_536
#: Opcodes that touch floating point: loads, stores, constants, comparison, arithmetic, conversion.
_FLOAT_OPS: Final = frozenset(
    {0x2A, 0x2B, 0x38, 0x39, 0x43, 0x44}
    | {*range(0x5B, 0x67)}
    | {*range(0x8B, 0xA7)}
    | {*range(0xA8, 0xAC)}
    | {*range(0xAE, 0xC0)}
)
_SIGN_EXTENSION: Final = frozenset(range(0xC0, 0xC5))
_ONE_INDEX: Final = frozenset({0x0C, 0x0D, 0x10, *range(0x20, 0x25)})
_BLOCKS: Final = frozenset({0x02, 0x03, 0x04})
_MEMORY_OPS: Final = range(0x28, 0x3F)
_SATURATING: Final = range(8)
#: Behind 0xFC: how many indexes follow (memory.init, data.drop, memory.copy, memory.fill, table.init, elem.drop, table.copy).
_BULK: Final = {8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2}
_LAST_PLAIN: Final = 0xC4
_ABSENT: Final = frozenset(
    {*range(0x06, 0x0B), *range(0x12, 0x1A), 0x1C, *range(0x1D, 0x20), 0x25, 0x26, 0x27}
)


@dataclass(frozen=True, slots=True)
class WasmNeeds:
    """What an engine must have, in the words of device manifests."""

    features: tuple[str, ...]
    memory_bytes: (
        int  # what it starts with: up to an exported __heap_base, else whole pages; 0: it has no memory
    )
    least_bytes: int  # with less it cannot start: the end of its data and its stack


def read_needs(wasm: bytes) -> WasmNeeds:
    """What the module needs.

    Where zeroed data ends cannot be seen in a module unless its linker exports ``__heap_base``
    (``-Wl,--export=__heap_base``): then that is what it needs, otherwise the pages that it starts with.

    Raises:
        InvalidComponentError: it is no module, or uses what no engine of ours has.
    """
    sections = {found.id: found.reader() for found in read_sections(wasm) if found.id}
    used = {"mvp"}
    if _DATA_COUNT in sections:
        used.add("bulk-memory")
    _read_types(sections.get(TYPE), used)
    found = _read_globals(sections.get(_GLOBAL), used)
    heap_base = _read_shared_globals(sections.get(IMPORT), sections.get(EXPORT), found, used)
    _read_code(sections.get(_CODE), used)
    ends = _read_data(sections.get(_DATA))
    ends += [each.start for each in found if each.start is not None and each.mutable]
    order = (
        "mvp",
        "sign-extension",
        "multi-value",
        "saturating-float-to-int",
        "bulk-memory",
        "mutable-global",
        "float",
    )
    pages = _read_pages(sections.get(MEMORY))
    memory_bytes = pages * PAGE_BYTES if heap_base is None else min(heap_base, pages * PAGE_BYTES)
    least_bytes = min(max(ends, default=0), memory_bytes)
    return WasmNeeds(tuple(name for name in order if name in used), memory_bytes, least_bytes)


def _read_types(reader: WasmReader | None, used: set[str]) -> None:
    if reader is None:
        return
    for _ in range(reader.count("types", _MOST)):
        reader.byte()
        values = reader.take(reader.count("values", _MOST))
        results = reader.take(reader.count("values", _MOST))
        if len(results) > 1:
            used.add("multi-value")
        if _FLOATS & {*values, *results}:
            used.add("float")


@dataclass(frozen=True, slots=True)
class _Global:
    mutable: bool
    start: int | None  # the address that it starts with


def _read_globals(reader: WasmReader | None, used: set[str]) -> list[_Global]:
    if reader is None:
        return []
    found = []
    for _ in range(reader.count("globals", _MOST)):
        if reader.byte() in _FLOATS:
            used.add("float")
        mutable = reader.byte() == 1
        found.append(_Global(mutable, _constant(reader)))
    return found


def _read_shared_globals(
    imports: WasmReader | None, exports: WasmReader | None, own: list[_Global], used: set[str]
) -> int | None:
    """Note mutable globals that others see; the value of an exported ``__heap_base``."""
    known: list[_Global] = []
    if imports is not None:
        for _ in range(imports.count("imports", _MOST)):
            imports.name(), imports.name()
            kind = imports.byte()
            if kind == 0:
                imports.u32()
            elif kind == _GLOBAL_KIND:
                imports.byte()
                known.append(_Global(imports.byte() == 1, None))
            else:
                if kind == 1:
                    imports.byte()
                _limits(imports)
    shared = list(known)
    known += own
    heap_base = None
    if exports is not None:
        for _ in range(exports.count("exports", _MOST)):
            name, kind, index = exports.name(), exports.byte(), exports.u32()
            if kind == _GLOBAL_KIND and index < len(known):
                shared.append(known[index])
                heap_base = known[index].start if name == "__heap_base" else heap_base
    if any(each.mutable for each in shared):
        used.add("mutable-global")
    return heap_base


def _read_pages(reader: WasmReader | None) -> int:
    if reader is None or not reader.count("memories", 1):
        return 0
    reader.byte()
    return reader.u32()


def _limits(reader: WasmReader) -> None:
    flags = reader.byte()
    reader.u32()
    if flags & 1:
        reader.u32()


def _read_data(reader: WasmReader | None) -> list[int]:
    """Where the active segments end."""
    if reader is None:
        return []
    ends = []
    for _ in range(reader.count("segments", _MOST)):
        flags = reader.u32()
        if flags == 2:  # noqa: PLR2004 - active, with a memory's index
            reader.u32()
        start = 0 if flags == 1 else _constant(reader) or 0
        size = reader.u32()
        reader.take(size)
        ends.append(start + size)
    return ends


def _constant(reader: WasmReader) -> int | None:
    """The value of an ``i32.const``, read without a sign; None for any other expression."""
    value = None
    while (opcode := reader.byte()) != _END:
        if opcode == _I32_CONST:
            value = _signed(reader) & 0xFFFF_FFFF
            if value >> 31:
                value = None
        else:
            _skip_immediates(reader, opcode, set())
            value = None
    return value


def _read_code(reader: WasmReader | None, used: set[str]) -> None:
    if reader is None:
        return
    for _ in range(reader.count("functions", _MOST)):
        size = reader.u32()
        if size > reader.left:
            raise reader.fault(f"has a function of {size} bytes where {reader.left} are left")
        end = reader.at + size
        for _ in range(reader.count("locals", _MOST)):
            reader.u32()
            if reader.byte() in _FLOATS:
                used.add("float")
        while reader.at < end:
            opcode = reader.byte()
            if opcode in _FLOAT_OPS:
                used.add("float")
            elif opcode in _SIGN_EXTENSION:
                used.add("sign-extension")
            _skip_immediates(reader, opcode, used)
        if reader.at != end:
            raise reader.fault("has a function that ends within an instruction")


def _skip_immediates(reader: WasmReader, opcode: int, used: set[str]) -> None:  # noqa: C901 - one branch for each kind
    if opcode in _BLOCKS:
        if _signed(reader) >= 0:
            used.add("multi-value")  # a block with parameters or several results
    elif opcode in _ONE_INDEX:
        reader.u32()
    elif opcode == 0x0E:  # noqa: PLR2004 - br_table
        for _ in range(reader.count("labels", _MOST) + 1):
            reader.u32()
    elif opcode == 0x11 or opcode in _MEMORY_OPS:  # noqa: PLR2004 - call_indirect; loads and stores
        reader.u32(), reader.u32()
    elif opcode in {0x3F, 0x40}:
        reader.byte()
    elif opcode in {0x41, 0x42}:
        _signed(reader)
    elif opcode in {0x43, 0x44}:
        reader.take(4 if opcode == 0x43 else 8)  # noqa: PLR2004 - f32.const, f64.const
    elif opcode == 0xFC:  # noqa: PLR2004 - the prefix of saturating conversions and bulk operations
        _skip_prefixed(reader, used)
    elif opcode > _LAST_PLAIN or opcode in _ABSENT:
        raise InvalidComponentError(
            f"The module uses an instruction (0x{opcode:02x}) that no engine of ours has.",
            hint="Build it for wasm32 without SIMD, threads, tail calls, exceptions and reference types.",
        )


def _skip_prefixed(reader: WasmReader, used: set[str]) -> None:
    operation = reader.u32()
    if operation in _SATURATING:
        used |= {"saturating-float-to-int", "float"}
    elif operation in _BULK:
        used.add("bulk-memory")
        for _ in range(_BULK[operation]):
            reader.u32()
    else:
        raise InvalidComponentError(
            f"The module uses an instruction (0xfc {operation}) that no engine of ours has.",
            hint="Build it for wasm32 without reference types.",
        )


def _signed(reader: WasmReader) -> int:
    """A signed LEB128 number."""
    value = shift = 0
    for _ in range(_LONGEST_LEB):
        byte = reader.byte()
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - LEB128's continuation bit
            return value - (1 << shift) if byte & 0x40 else value
    raise reader.fault("has a number of more than ten bytes")
