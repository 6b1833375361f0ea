"""A module's outline, and the module as wasm3 should see it.

wasm3 cannot name a module's imports or exports, finds an export by its name section's names too, keeps only
three names of a function, forgets a start function that is the first function, and has no memory limit of its
own. So the outline is read here, and the engine gets a copy without custom sections and start, with one
generated name per exported function, and with the memory's maximum lowered to the limit. Contents are not validated here: the sandbox is what protects the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from edgehost.adapters.sandbox.worker.faults import invalid

PAGE: Final = 65_536
_MAGIC: Final = b"\0asm\x01\0\0\0"
_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _MEMORY, _EXPORT, _START = 0, 1, 2, 3, 5, 7, 8
# The order in which sections must stand: by number, except that the data count (12) comes before the code (10).
_RANKS: Final = {kind: rank for rank, kind in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11), start=1)}
_FUNCTION_TYPE: Final = 0x60
_MORE: Final = 0x80  # LEB128's continuation bit
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


class _Reader:
    """A bounds-checked cursor."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data, self.at, self._end = data, start, len(data)

    @property
    def left(self) -> int:
        return self._end - self.at

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise invalid("the module ends in the middle of a section.")
        self.at += count
        return self._data[self.at - count : self.at]

    def whole(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            part = self.byte()
            value |= (part & 0x7F) << shift
            if part < _MORE:
                if value >= 1 << 32:
                    break
                return value
        raise invalid("the module holds a number of more than 32 bits.")

    def count(self) -> int:
        number = self.whole()
        if number > _MOST_ITEMS or number > self.left:
            raise invalid(f"the module lists {number} items where {min(_MOST_ITEMS, self.left)} can be.")
        return number

    def text(self) -> str:
        try:
            return self.take(self.whole()).decode()
        except UnicodeDecodeError:
            raise invalid("the module holds a name that is no UTF-8.") from None

    def limits(self) -> tuple[int, int | None]:
        flags = self.byte()
        if flags > 1:
            raise invalid("the module uses shared or 64-bit memory.", "wasm3 runs neither.")
        return self.whole(), self.whole() if flags else None


def read_module(wasm: bytes, *, memory_pages: int) -> WasmModule:
    """The outline of a module, and its copy for wasm3 with memory bounded to ``memory_pages``."""
    _require_core_module(wasm)
    outline = _Outline()
    kept: list[tuple[int, bytes]] = []
    for kind, body in _sections(wasm):
        reader = _Reader(body)
        outline.read(kind, reader)
        if kind == _MEMORY:
            kept.append((kind, _bounded_memory(reader, memory_pages)))
        elif kind not in (_CUSTOM, _EXPORT, _START):
            kept.append((kind, body))
    outline.module.normalised = _assemble(kept, outline.engine_names)
    return outline.module


def _require_core_module(wasm: bytes) -> None:
    if wasm[:4] != _MAGIC[:4]:
        raise invalid("the bytes are no WebAssembly module.", "Is the file truncated, or something else?")
    if wasm[4:8] != _MAGIC[4:]:
        raise invalid("this is no core module of version 1.", "Components must be lowered to a core module.")


def _sections(wasm: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(wasm, len(_MAGIC))
    last = 0
    while reader.left:
        kind = reader.byte()
        body = reader.take(reader.whole())
        if kind != _CUSTOM:
            rank = _RANKS.get(kind)
            if rank is None:
                raise invalid(
                    f"the module has a section of unknown kind {kind}.", "wasm3 runs no newer proposals."
                )
            if rank <= last:
                raise invalid("the module's sections are out of order.")
            last = rank
        yield kind, body


class _Outline:
    """What is known of a module so far, section by section."""

    def __init__(self) -> None:
        self.module = WasmModule()
        self.engine_names: dict[int, str] = {}  # functions that the engine must be able to find
        self._types: list[Signature | None] = []
        self._functions: list[tuple[int, bool]] = []  # index of the type, whether it is imported

    def read(self, kind: int, reader: _Reader) -> None:
        """Take note of one section, if it is one that matters."""
        if kind == _TYPE:
            self._types += [_read_type(reader) for _ in range(reader.count())]
        elif kind == _IMPORT:
            for _ in range(reader.count()):
                self._read_import(reader)
        elif kind == _FUNCTION:
            self._functions += [(reader.whole(), False) for _ in range(reader.count())]
        elif kind == _EXPORT:
            for _ in range(reader.count()):
                self._read_export(reader)
        elif kind == _START:
            self._read_start(reader.whole())

    def _signature(self, index: int, what: str) -> Signature:
        signature = self._types[index] if index < len(self._types) else None
        if signature is None:
            raise invalid(
                f"{what} has a type that cannot be passed.", "Use at most 32 values of i32, i64, f32, f64."
            )
        return signature

    def _read_import(self, reader: _Reader) -> None:
        name = (reader.text(), reader.text())
        kind = reader.byte()
        shown = f"the import {name[0][:64]}.{name[1][:64]}"
        if kind != 0:
            what = _IMPORT_KINDS.get(kind, "thing of unknown kind")
            raise invalid(f"{shown} is a {what}.", "A component may import functions only.")
        index = reader.whole()
        signature = self._signature(index, shown)
        if self.module.imports.setdefault(name, signature) != signature:
            raise invalid(f"{shown} is declared with two types.")
        self._functions.append((index, True))

    def _read_export(self, reader: _Reader) -> None:
        name, kind, index = reader.text(), reader.byte(), reader.whole()
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


def _read_type(reader: _Reader) -> Signature | None:
    if reader.byte() != _FUNCTION_TYPE:
        raise invalid("the module declares a type that is no function.", "wasm3 has no garbage collection.")
    params, results = (reader.take(reader.count()) for _ in range(2))
    if max(len(params), len(results)) > _MOST_VALUES or any(t not in _VALUE_TYPES for t in params + results):
        return None  # cannot be passed; it does not matter unless it is imported or exported
    return Signature(*("".join(_VALUE_TYPES[t] for t in half) for half in (params, results)))


def _bounded_memory(reader: _Reader, most: int) -> bytes:
    count = reader.count()
    if count == 0:
        return b"\0"
    if count > 1:
        raise invalid("the module has more than one memory.", "wasm3 runs one.")
    least, declared = reader.limits()
    if least > most:
        raise invalid(
            f"the module starts with {least * 64} KiB of memory; its limit is {most * 64} KiB.",
            "Raise limits.memory_kib or build it with less.",
        )
    return b"\x01\x01" + _leb(least) + _leb(min(most, most if declared is None else declared))


def _assemble(sections: list[tuple[int, bytes]], engine_names: dict[int, str]) -> bytes:
    exports = [
        _leb(len(name)) + name.encode() + b"\0" + _leb(index) for index, name in sorted(engine_names.items())
    ]
    whole = [*sections, (_EXPORT, _leb(len(exports)) + b"".join(exports))]
    whole.sort(key=lambda section: _RANKS[section[0]])
    return _MAGIC + b"".join(bytes((kind,)) + _leb(len(body)) + body for kind, body in whole)


def _leb(value: int) -> bytes:
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)
