"""Strings and arrays in the heap of an AssemblyScript module; nothing that the guest says is taken on trust.

An object's header stands in front of it: its class at -8, its size in bytes at -4. A string is UTF-16LE. An array
is 16 bytes: its buffer, where its data starts, its length in bytes and in items. Memory moves when it grows, so
its view is fetched anew after every call into the guest.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.engine import Engine
from edgehost.adapters.sandbox.worker.faults import Fault, Trap, invalid
from edgehost.domain.aegis_convention import RUNTIME_FUNCTIONS, RUNTIME_GLOBAL, Pair

_BUFFER_CLASS: Final = 1
_STRING_CLASS: Final = 2
_STRINGS_CLASS: Final = 4  # string[] in a module whose first class is string[][], as the convention has it
_STRINGS_GLOBAL: Final = "ArrayOfStrings_ID"
_ARRAY_BYTES: Final = 16
_POINTER_BYTES: Final = 4
_HEADER_BYTES: Final = 8
_ARRAY_FLAGS: Final = 1 << 1 | 1 << 14  # an array whose items are managed
_MOST_CLASSES: Final = 65_536
_MOST_ITEMS: Final = 10_000  # what JSON may hold on this host
_PAIR: Final = 2
_MOST_BYTES: Final = 1 << 31
_SIGNATURES: Final = {"__new": "i(ii)", "__pin": "i(i)", "__unpin": "v(i)", "__collect": "v()"}
_WORD: Final = struct.Struct("<I")
_UTF16: Final = codecs.lookup("utf-16-le").name  # read from disk now: a confined sandbox opens no files
_ARRAY: Final = struct.Struct("<4I")


class ScriptHeap:
    """The heap of one started module."""

    def __init__(self, engine: Engine, constants: Mapping[str, int], *, most_bytes: int) -> None:
        self._engine = engine
        self._most_bytes = most_bytes
        self._left = most_bytes
        exports = engine.module.exports
        for name in RUNTIME_FUNCTIONS:
            if name not in exports or str(exports[name].signature) != _SIGNATURES[name]:
                raise invalid(
                    f"the module has no export {name} of AssemblyScript's runtime.",
                    "Build it with --exportRuntime.",
                )
        # Sizes and pointers are kept below 2 GiB, and so are signed as they are.
        runtime = (engine.trusted(exports[name]) for name in RUNTIME_FUNCTIONS)
        self._new, self._pin, self.unpin, self.collect = runtime
        self._strings_class, self._pairs_class = self._classes(constants)

    def put_pairs(self, pairs: Iterable[tuple[str, str]]) -> int:
        """A pinned ``string[][]``; unpin it after the call that it is for."""
        rows = list(pairs)
        outer, data = self._new_array(self._pairs_class, len(rows))
        for place, row in enumerate(rows):
            inner, slots = self._new_array(self._strings_class, _PAIR)
            self._store(data + _POINTER_BYTES * place, inner)
            for slot, text in enumerate(row):
                self._store(slots + _POINTER_BYTES * slot, self._put_string(text))
            # From here on the outer array holds it; letting go earlier would hide its strings from a
            # collection that has begun.
            self.unpin(inner)
        return outer

    def take(self, pointer: int) -> Any:  # noqa: ANN401 - what the guest answered
        """A string, a list of strings, pairs as a tuple, or None for null."""
        self._left = 2 * self._most_bytes  # UTF-16 takes twice what most texts take in UTF-8
        if pointer == 0:
            return None
        view = self._engine.memory()
        kind, _ = self._header(view, pointer)
        if kind == _STRING_CLASS:
            return self._string(view, pointer)
        if kind == self._strings_class:
            return [self._nullable(view, item) for item in self._items(view, pointer, kind)]
        if kind == self._pairs_class:
            return tuple(self._pair(view, row) for row in self._items(view, pointer, kind))
        raise Trap(f"an answer of class {kind}; it must be a string, string[] or string[][]")

    def clipped(self, pointer: int, most_bytes: int) -> str:
        """The beginning of a string, for a log."""
        pointer &= 0xFFFFFFFF
        if pointer == 0:
            return "null"
        view = self._engine.memory()
        kind, size = self._header(view, pointer)
        if kind != _STRING_CLASS:
            raise Trap(f"a string was expected at {pointer}, not an object of class {kind}")
        end = pointer + min(size & ~1, most_bytes)
        return str(view[pointer:end], _UTF16, "replace")

    def _classes(self, constants: Mapping[str, int]) -> tuple[int, int]:
        """The classes of string[] and string[][], checked against the module's own list of classes."""
        base = constants.get(RUNTIME_GLOBAL)
        view = self._engine.memory()
        if base is None or base + _POINTER_BYTES > view.nbytes:
            raise invalid(f"the module does not export {RUNTIME_GLOBAL}.", "Build it with --exportRuntime.")
        count = min(_WORD.unpack_from(view, base)[0], _MOST_CLASSES)
        start = base + _POINTER_BYTES
        if start + _POINTER_BYTES * count > view.nbytes:
            raise invalid(f"{RUNTIME_GLOBAL} points at no list of classes.")
        flags = struct.unpack_from(f"<{count}I", view, start)
        arrays = [each for each, flag in enumerate(flags) if flag & _ARRAY_FLAGS == _ARRAY_FLAGS]
        strings = constants.get(_STRINGS_GLOBAL, _STRINGS_CLASS)
        if strings in arrays and strings + 1 in arrays:
            return strings, strings + 1
        if _STRINGS_GLOBAL not in constants and len(arrays) == _PAIR:
            return arrays[0], arrays[1]
        raise invalid(
            "the classes string[] and string[][] cannot be told among the module's classes.",
            f"Declare the functions on string[][] first, or export const {_STRINGS_GLOBAL} = idof<string[]>().",
        )

    def _new_array(self, kind: int, length: int) -> tuple[int, int]:
        """A pinned array of nulls, and where its items go.

        The header is pinned and the buffer becomes its own at once, so a collection in between finds both.
        """
        header = self._allocated(_ARRAY_BYTES, kind)
        view = self._engine.memory()
        view[header : header + _ARRAY_BYTES] = bytes(_ARRAY_BYTES)
        self._pin(header)
        size = _POINTER_BYTES * length
        buffer = self._allocated(size, _BUFFER_CLASS)
        view = self._engine.memory()
        if header + _ARRAY_BYTES > view.nbytes:
            raise Trap("the memory has shrunk")
        view[buffer : buffer + size] = bytes(size)
        _ARRAY.pack_into(view, header, buffer, buffer, size, length)
        return header, buffer

    def _put_string(self, text: str) -> int:
        units = text.encode(_UTF16, "surrogatepass")
        pointer = self._allocated(len(units), _STRING_CLASS)
        self._engine.memory()[pointer : pointer + len(units)] = units
        return pointer

    def _allocated(self, size: int, kind: int) -> int:
        pointer = int(self._new(size, kind)) & 0xFFFFFFFF
        if not _HEADER_BYTES <= pointer < _MOST_BYTES or pointer + size > self._engine.memory().nbytes:
            raise Trap(f"__new gave {pointer}, where {size} bytes have no place")
        return pointer

    def _store(self, at: int, pointer: int) -> None:
        view = self._engine.memory()
        if at + _POINTER_BYTES > view.nbytes:
            raise Trap("the memory has shrunk")
        _WORD.pack_into(view, at, pointer)

    def _header(self, view: memoryview, pointer: int) -> tuple[int, int]:
        if pointer < _HEADER_BYTES or pointer > view.nbytes:
            raise Trap(f"{pointer} points out of the memory")
        kind, size = struct.unpack_from("<2I", view, pointer - _HEADER_BYTES)
        if pointer + size > view.nbytes:
            raise Trap(f"the object at {pointer} claims {size} bytes, more than the memory has")
        return kind, size

    def _items(self, view: memoryview, pointer: int, expected: int) -> tuple[int, ...]:
        kind, size = self._header(view, pointer)
        if kind != expected or size < _ARRAY_BYTES:
            raise Trap(f"an array was expected at {pointer}, not {size} bytes of class {kind}")
        _, start, size, length = _ARRAY.unpack_from(view, pointer)
        if _POINTER_BYTES * length > size or start + size > view.nbytes:
            raise Trap(f"the array at {pointer} claims {length} items in {size} bytes at {start}")
        if length > _MOST_ITEMS:
            raise Fault(
                wire.TOO_LARGE, f"the answer has {length} rows; {_MOST_ITEMS} is the limit.", "Return less."
            )
        self._spend(_POINTER_BYTES * length)
        return struct.unpack_from(f"<{length}I", view, start)

    def _pair(self, view: memoryview, row: int) -> Pair:
        items = self._items(view, row, self._strings_class)
        if len(items) < _PAIR:
            raise Trap(f"a row of {len(items)} strings; a pair of key and value was expected")
        return self._string(view, items[0]), self._nullable(view, items[1])

    def _nullable(self, view: memoryview, pointer: int) -> str | None:
        return self._string(view, pointer) if pointer else None

    def _string(self, view: memoryview, pointer: int) -> str:
        kind, size = self._header(view, pointer)
        if kind != _STRING_CLASS:
            raise Trap(f"a string was expected at {pointer}, not an object of class {kind}")
        if size % 2:
            raise Trap(f"the string at {pointer} has half a character")
        self._spend(size)
        return str(view[pointer : pointer + size], _UTF16, "replace")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Fault(
                wire.TOO_LARGE,
                f"the answer is larger than {self._most_bytes // 1024} KiB.",
                "Raise limits.output_kib or return less.",
            )
