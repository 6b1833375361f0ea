"""What a WebAssembly module offers and needs, read without running or compiling it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.wasm_sections import (
    EXPORT,
    FUNCTION,
    IMPORT,
    MEMORY,
    TYPE,
    Section,
    WasmReader,
    leb128,
    module,
    read_sections,
    section,
)

PAGE_KIB: Final = 64
#: 4 GiB, the end of a 32-bit memory.
_MOST_PAGES: Final = 65_536
#: A 1.5 MB module has about 3000 functions; these bounds keep a hostile one to a second.
_MOST_FUNCTIONS: Final = 200_000
_MOST_TYPES: Final = 10_000
_MOST_VALUES: Final = 128
_MOST_NAMED: Final = 20_000
_MOST_MEMORIES: Final = 1  # wasm3 knows one

_VALUE_TYPES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64"}
_FUNCTION_FORM: Final = 0x60
_FUNCREF: Final = 0x70


class Extern(enum.StrEnum):
    """What can cross a module's border."""

    FUNCTION = "function"
    TABLE = "table"
    MEMORY = "memory"
    GLOBAL = "global"


_EXTERNS: Final = tuple(Extern)


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameters and results, as "i32", "i64", "f32" or "f64"."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> {', '.join(self.results) or '()'}"


@dataclass(frozen=True, slots=True)
class MemoryType:
    """Pages of 64 KiB that a memory starts with and may grow to; None is no bound."""

    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """Something the module needs."""

    module: str
    name: str
    extern: Extern
    type: FunctionType | None  # of functions


@dataclass(frozen=True, slots=True)
class ModuleExport:
    """Something the module offers."""

    name: str
    extern: Extern
    type: FunctionType | None  # of functions


@dataclass(frozen=True, slots=True)
class WasmOutline:
    """Imports, exports and own memories, in file order."""

    imports: tuple[ModuleImport, ...]
    exports: tuple[ModuleExport, ...]
    memories: tuple[MemoryType, ...]

    def function(self, name: str) -> FunctionType | None:
        """The type of the exported function, or None when there is none of this name."""
        for export in self.exports:
            if export.name == name and export.extern is Extern.FUNCTION:
                return export.type
        return None


def read_outline(wasm: bytes) -> WasmOutline:
    """Imports, exports and memories.

    Raises:
        InvalidComponentError: the bytes are no module, or use types that no host of ours runs.
    """
    readers = {found.id: found.reader() for found in read_sections(wasm) if found.id}
    types = _read_types(readers.get(TYPE))
    imports = _read_imports(readers.get(IMPORT), types)
    functions = [found.type for found in imports if found.type is not None]
    functions += _read_functions(readers.get(FUNCTION), types)
    return WasmOutline(
        imports=imports,
        exports=_read_exports(readers.get(EXPORT), functions),
        memories=_read_memories(readers.get(MEMORY)),
    )


def bound_memory(wasm: bytes, limit_kib: int) -> bytes:
    """The same module, its memory never growing beyond the limit.

    Raises:
        InvalidComponentError: it starts above the limit, or its memory is imported.
    """
    limit = limit_kib // PAGE_KIB
    if any(found.extern is Extern.MEMORY for found in read_outline(wasm).imports):
        raise InvalidComponentError(
            "The module imports its memory.", hint="Build it with a memory of its own (no --import-memory)."
        )
    return module(
        _bounded(found, limit) if found.id == MEMORY else found.whole() for found in read_sections(wasm)
    )


def _bounded(found: Section, limit: int) -> bytes:
    content = bytearray()
    memories = _read_memories(found.reader())
    for memory in memories:
        if memory.least > limit:
            raise InvalidComponentError(
                f"The module starts with {memory.least * PAGE_KIB} KiB of memory; "
                f"limits.memory_kib allows {limit * PAGE_KIB}.",
                hint=f"Set limits.memory_kib = {memory.least * PAGE_KIB} or more, "
                "or give the linker a smaller stack or initial memory.",
            )
        most = limit if memory.most is None else min(limit, memory.most)
        content += b"\x01" + leb128(memory.least) + leb128(most)
    return section(MEMORY, leb128(len(memories)) + bytes(content))


def _read_types(reader: WasmReader | None) -> list[FunctionType]:
    if reader is None:
        return []
    types = []
    for _ in range(reader.count("types", _MOST_TYPES)):
        if reader.byte() != _FUNCTION_FORM:
            raise reader.fault("has a type that is no function (garbage collection is not supported)")
        types.append(FunctionType(_read_values(reader), _read_values(reader)))
    _require_end(reader)
    return types


def _read_values(reader: WasmReader) -> tuple[str, ...]:
    return tuple(_read_value(reader) for _ in range(reader.count("values", _MOST_VALUES)))


def _read_value(reader: WasmReader) -> str:
    code = reader.byte()
    if code not in _VALUE_TYPES:
        raise reader.fault("uses a value type other than i32, i64, f32 and f64")
    return _VALUE_TYPES[code]


def _read_imports(reader: WasmReader | None, types: list[FunctionType]) -> tuple[ModuleImport, ...]:
    if reader is None:
        return ()
    imports = []
    for _ in range(reader.count("imports", _MOST_NAMED)):
        module_name, name = reader.name(), reader.name()
        extern = _read_extern(reader)
        function = None
        match extern:
            case Extern.FUNCTION:
                function = _pick(reader, types)
            case Extern.TABLE:
                if reader.byte() != _FUNCREF:
                    raise reader.fault("imports a table of references")
                _read_limits(reader)
            case Extern.MEMORY:
                _read_limits(reader)
            case Extern.GLOBAL:
                _read_value(reader)
                reader.byte()
        imports.append(ModuleImport(module_name, name, extern, function))
    _require_end(reader)
    return tuple(imports)


def _read_functions(reader: WasmReader | None, types: list[FunctionType]) -> list[FunctionType]:
    if reader is None:
        return []
    functions = [_pick(reader, types) for _ in range(reader.count("functions", _MOST_FUNCTIONS))]
    _require_end(reader)
    return functions


def _read_exports(reader: WasmReader | None, functions: list[FunctionType]) -> tuple[ModuleExport, ...]:
    if reader is None:
        return ()
    exports: dict[str, ModuleExport] = {}
    for _ in range(reader.count("exports", _MOST_NAMED)):
        name = reader.name()
        if name in exports:
            raise reader.fault("exports a name twice")
        extern = _read_extern(reader)
        if extern is Extern.FUNCTION:
            exports[name] = ModuleExport(name, extern, _pick(reader, functions))
        else:
            reader.u32()
            exports[name] = ModuleExport(name, extern, None)
    _require_end(reader)
    return tuple(exports.values())


def _read_memories(reader: WasmReader | None) -> tuple[MemoryType, ...]:
    if reader is None:
        return ()
    memories = tuple(_read_limits(reader) for _ in range(reader.count("memories", _MOST_MEMORIES)))
    _require_end(reader)
    for memory in memories:
        if memory.least > _MOST_PAGES or (
            memory.most is not None and not memory.least <= memory.most <= _MOST_PAGES
        ):
            raise reader.fault("has a memory with impossible limits")
    return memories


def _read_limits(reader: WasmReader) -> MemoryType:
    flags = reader.byte()
    if flags > 1:
        raise reader.fault("has a shared or 64-bit memory")
    return MemoryType(reader.u32(), reader.u32() if flags else None)


def _read_extern(reader: WasmReader) -> Extern:
    code = reader.byte()
    if code >= len(_EXTERNS):
        raise reader.fault("has an import or export of an unknown kind")
    return _EXTERNS[code]


def _pick(reader: WasmReader, known: list[FunctionType]) -> FunctionType:
    index = reader.u32()
    if index >= len(known):
        raise reader.fault(f"refers to number {index} of {len(known)}")
    return known[index]


def _require_end(reader: WasmReader) -> None:
    if reader.left:
        raise reader.fault(f"has {reader.left} bytes too many in a section")
