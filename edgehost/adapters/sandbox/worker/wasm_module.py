"""A module's outline, and the module as wasm3 should see it.

wasm3 cannot name a module's imports or exports, finds an export by its name section's names too, keeps only
three names of a function, forgets a start function that is the first function, and has no memory limit of its
own. So the outline is read here, and the engine gets a copy without custom sections and start, with one
generated name per exported function, and with the memory's maximum lowered to the limit. Contents are not validated here: the sandbox is what protects the host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgehost.adapters.sandbox.worker.faults import invalid
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.wasm_sections import (
    CUSTOM,
    EXPORT,
    FUNCTION,
    IMPORT,
    MEMORY,
    TYPE,
    WasmReader,
    leb128,
    module,
    read_sections,
    section,
)

PAGE: Final = 65_536
_START: Final = 8
_FUNCTION_TYPE: Final = 0x60
_VALUE_TYPES: Final = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F"}
_IMPORT_KINDS: Final = {1: "table", 2: "memory", 3: "global"}
_MOST_ITEMS: Final = 100_000  # imports, exports, types or functions; larger modules are not for the edge
_MOST_VALUES: Final = 32  # parameters or results that pywasm3 can pass


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter and result types as wasm3 letters: i (i32), I (i64), f (f32), F (f64)."""

    params: str
    results: str

    def __str__(self) -> str:
        """The signature as wasm3's linker wants it."""
        return f"{self.results or 'v'}({self.params})"


@dataclass(frozen=True, slots=True)
class Export:
    """An exported function; ``engine_name`` is the name under which wasm3 knows it."""

    name: str
    engine_name: str
    signature: Signature


@dataclass(slots=True)
class WasmModule:
    """Imports, exports and the normalised bytes."""

    imports: dict[tuple[str, str], Signature] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)
    start: Export | None = None
    normalised: bytes = b""


def read_module(wasm: bytes, *, memory_pages: int) -> WasmModule:
    """The outline of a module, and its copy for wasm3 with memory bounded to ``memory_pages``."""
    outline = _Outline()
    before: list[bytes] = []
    after: list[bytes] = []
    try:
        for found in read_sections(wasm):
            outline.read(found.id, found.reader())
            kept = after if found.id > EXPORT else before  # every higher number stands behind the exports
            if found.id == MEMORY:
                kept.append(section(MEMORY, _bounded_memory(found.reader(), memory_pages)))
            elif found.id not in (CUSTOM, EXPORT, _START):
                kept.append(found.whole())
    except InvalidComponentError as error:
        raise invalid(error.message, error.hint) from None
    outline.module.normalised = module([*before, _engine_exports(outline.engine_names), *after])
    return outline.module


class _Outline:
    """What is known of a module so far, section by section."""

    def __init__(self) -> None:
        self.module = WasmModule()
        self.engine_names: dict[int, str] = {}  # functions that the engine must be able to find
        self._types: list[Signature | None] = []
        self._functions: list[tuple[int, bool]] = []  # index of the type, whether it is imported

    def read(self, kind: int, reader: WasmReader) -> None:
        """Take note of one section, if it is one that matters."""
        if kind == TYPE:
            self._types += [_read_type(reader) for _ in range(reader.count("types", _MOST_ITEMS))]
        elif kind == IMPORT:
            for _ in range(reader.count("imports", _MOST_ITEMS)):
                self._read_import(reader)
        elif kind == FUNCTION:
            self._functions += [(reader.u32(), False) for _ in range(reader.count("functions", _MOST_ITEMS))]
        elif kind == EXPORT:
            for _ in range(reader.count("exports", _MOST_ITEMS)):
                self._read_export(reader)
        elif kind == _START:
            self._read_start(reader.u32())

    def _signature(self, index: int, what: str) -> Signature:
        signature = self._types[index] if index < len(self._types) else None
        if signature is None:
            raise invalid(
                f"{what} has a type that cannot be passed.", "Use at most 32 values of i32, i64, f32, f64."
            )
        return signature

    def _read_import(self, reader: WasmReader) -> None:
        name = (reader.name(), reader.name())
        kind = reader.byte()
        shown = f"the import {name[0][:64]}.{name[1][:64]}"
        if kind != 0:
            what = _IMPORT_KINDS.get(kind, "thing of unknown kind")
            raise invalid(f"{shown} is a {what}.", "A component may import functions only.")
        index = reader.u32()
        signature = self._signature(index, shown)
        if self.module.imports.setdefault(name, signature) != signature:
            raise invalid(f"{shown} is declared with two types.")
        self._functions.append((index, True))

    def _read_export(self, reader: WasmReader) -> None:
        name, kind, index = reader.name(), reader.byte(), reader.u32()
        if kind != 0:
            return
        if index >= len(self._functions):
            raise invalid(f"the export {name[:64]!r} names a function that is not there.")
        type_index, imported = self._functions[index]
        if imported:  # a host function handed back: nothing that a caller could want
            return
        signature = self._signature(type_index, f"the export {name[:64]!r}")
        engine_name = self.engine_names.setdefault(index, f"f{index}")
        self.module.exports[name] = Export(name, engine_name, signature)

    def _read_start(self, index: int) -> None:
        if index >= len(self._functions) or self._functions[index][1]:
            raise invalid("the start function is not one of the module's own.")
        signature = self._signature(self._functions[index][0], "the start function")
        if signature.params or signature.results:
            raise invalid("the start function takes or returns something.")
        self.module.start = Export("start", self.engine_names.setdefault(index, f"f{index}"), signature)


def _read_type(reader: WasmReader) -> Signature | None:
    if reader.byte() != _FUNCTION_TYPE:
        raise invalid("the module declares a type that is no function.", "wasm3 has no garbage collection.")
    params, results = (reader.take(reader.count("values", _MOST_ITEMS)) for _ in range(2))
    if max(len(params), len(results)) > _MOST_VALUES or any(t not in _VALUE_TYPES for t in params + results):
        return None  # cannot be passed; it does not matter unless it is imported or exported
    return Signature(*("".join(_VALUE_TYPES[t] for t in half) for half in (params, results)))


def _bounded_memory(reader: WasmReader, most: int) -> bytes:
    count = reader.count("memories", 1)  # wasm3 runs one
    if count == 0:
        return b"\0"
    flags = reader.byte()
    if flags > 1:
        raise reader.fault("has a shared or 64-bit memory")
    least, declared = reader.u32(), reader.u32() if flags else most
    if least > most:
        raise invalid(
            f"the module starts with {least * 64} KiB of memory; its limit is {most * 64} KiB.",
            "Raise limits.memory_kib or build it with less.",
        )
    return b"\x01\x01" + leb128(least) + leb128(min(most, declared))


def _engine_exports(engine_names: dict[int, str]) -> bytes:
    exports = [
        leb128(len(name)) + name.encode() + b"\0" + leb128(index)
        for index, name in sorted(engine_names.items())
    ]
    return section(EXPORT, leb128(len(exports)) + b"".join(exports))
