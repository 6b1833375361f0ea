"""Reads and rewrites the outer layer of a WebAssembly module: header, sections, LEB128. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import InvalidComponentError

#: Far above what an edge host runs; bounds what is held in memory while a file is looked at.
MAX_WASM_BYTES: Final = 32 * 1024 * 1024

HEADER: Final = b"\0asm\x01\0\0\0"
#: The header of a WebAssembly *component model* file, which shares the magic number.
_COMPONENT_MODEL_HEADER: Final = b"\0asm\x0d\0\x01\0"

CUSTOM: Final = 0
TYPE: Final = 1
IMPORT: Final = 2
FUNCTION: Final = 3
MEMORY: Final = 5
EXPORT: Final = 7
#: The order that the specification asks for: data count (12) stands between element (9) and code (10).
_ORDER: Final = {section: place for place, section in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11))}

#: Real modules have a dozen; a file of nothing but empty sections must not cost minutes.
_MOST_SECTIONS: Final = 1000
_LONGEST_NAME: Final = 4096
_U32_BITS: Final = 32


class WasmReader:
    """A cursor over bytes; every read is checked, every fault names its place."""

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._end = len(data) if end is None else end
        self.at = start

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return self._end - self.at

    def byte(self) -> int:
        """One byte."""
        if self.at >= self._end:
            raise self.fault("ends too early")
        self.at += 1
        return self._data[self.at - 1]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size > self.left:
            raise self.fault(f"names {size} bytes where {self.left} are left")
        self.at += size
        return self._data[self.at - size : self.at]

    def u32(self) -> int:
        """An unsigned LEB128 number of at most five bytes, without bits beyond the 32nd."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value >> _U32_BITS:
                raise self.fault("has a number above 32 bits")
            if byte < 0x80:  # noqa: PLR2004 - LEB128's continuation bit
                return value
            shift += 7
            if shift >= _U32_BITS + 3:
                raise self.fault("has a number of more than five bytes")

    def count(self, what: str, most: int) -> int:
        """How many items follow; each takes a byte at least, so no more than bytes are left."""
        number = self.u32()
        if number > min(most, self.left):
            raise self.fault(f"claims {number} {what}")
        return number

    def name(self) -> str:
        """A UTF-8 name with its length in front."""
        size = self.u32()
        if size > _LONGEST_NAME:
            raise self.fault(f"has a name of {size} bytes")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise self.fault("has a name that is not UTF-8") from None

    def fault(self, what: str) -> InvalidComponentError:
        """The error for what stands at the cursor."""
        return InvalidComponentError(
            f"The module {what} (near byte {self.at}).",
            hint="The file is damaged or no WebAssembly: rebuild it.",
        )


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its id, the name if it is a custom one, and where its content stands in the file."""

    id: int
    name: str
    start: int  # of the section's id byte
    content: int  # of the content, behind a custom section's name
    end: int
    wasm: bytes = field(repr=False)

    def reader(self) -> WasmReader:
        """A cursor over the content."""
        return WasmReader(self.wasm, self.content, self.end)

    def whole(self) -> bytes:
        """The section as it stands in the file."""
        return self.wasm[self.start : self.end]


def read_sections(wasm: bytes) -> tuple[Section, ...]:
    """Every section of the module, in file order.

    Raises:
        InvalidComponentError: the header, a length or the order of the sections is wrong.
    """
    _require_header(wasm)
    reader = WasmReader(wasm, len(HEADER))
    found: list[Section] = []
    place = -1
    while reader.left:
        if len(found) == _MOST_SECTIONS:
            raise reader.fault(f"has more than {_MOST_SECTIONS} sections")
        start = reader.at
        section_id = reader.byte()
        size = reader.u32()
        if size > reader.left:
            raise reader.fault(f"has a section of {size} bytes where {reader.left} are left")
        content, end, name = reader.at, reader.at + size, ""
        if section_id == CUSTOM:
            inner = WasmReader(wasm, content, end)
            name, content = inner.name(), inner.at
        else:
            if _ORDER.get(section_id, -1) <= place:
                raise reader.fault(f"has a section {section_id} that is unknown, repeated or out of order")
            place = _ORDER[section_id]
        found.append(Section(section_id, name, start, content, end, wasm))
        reader.at = end
    return tuple(found)


def custom_section(name: str, content: bytes) -> bytes:
    """The bytes of a custom section."""
    encoded = name.encode()
    return section(CUSTOM, leb128(len(encoded)) + encoded + content)


def section(section_id: int, content: bytes) -> bytes:
    """The bytes of a section."""
    return bytes((section_id,)) + leb128(len(content)) + content


def module(sections: Iterable[bytes]) -> bytes:
    """A module of these sections."""
    return HEADER + b"".join(sections)


def leb128(number: int) -> bytes:
    """The shortest unsigned LEB128 form."""
    encoded = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - LEB128's continuation bit
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _require_header(wasm: bytes) -> None:
    if len(wasm) > MAX_WASM_BYTES:
        raise InvalidComponentError(
            f"The file has {len(wasm)} bytes; a component has at most {MAX_WASM_BYTES}.",
            hint="Strip it, or move its data elsewhere.",
        )
    if wasm.startswith(_COMPONENT_MODEL_HEADER):
        raise InvalidComponentError(
            "The file is a WebAssembly component of the component model, not a core module.",
            hint="Build for the wasm32-unknown-unknown target, without a WIT world.",
        )
    if not wasm.startswith(HEADER):
        raise InvalidComponentError(
            "The file does not start like a WebAssembly module.", hint="Give the path of a .wasm file."
        )
