"""Small modules in bytes, made without a compiler."""

from __future__ import annotations

from collections.abc import Sequence

from edgehost.domain.wasm_sections import EXPORT, FUNCTION, IMPORT, MEMORY, TYPE, leb128, module, section

_CODE = 10


def named(text: str) -> bytes:
    encoded = text.encode()
    return leb128(len(encoded)) + encoded


def vector(items: Sequence[bytes]) -> bytes:
    return leb128(len(items)) + b"".join(items)


#: 0: () -> i32, 1: (i64) -> i64, 2: (i32) -> i32
TYPES = section(TYPE, vector([b"\x60\x00\x01\x7f", b"\x60\x01\x7e\x01\x7e", b"\x60\x01\x7f\x01\x7f"]))

ZERO = b"\x41\x00"
TRAP = b"\x00"
SPIN = b"\x03\x40\x0c\x00\x0b\x00"


def memory(least: int, most: int | None = None) -> bytes:
    bounds = b"\x00" + leb128(least) if most is None else b"\x01" + leb128(least) + leb128(most)
    return section(MEMORY, vector([bounds]))


def sample(
    exports: Sequence[str] = ("run",),
    imports: Sequence[tuple[str, str]] = (),
    memories: bytes = b"",
    *,
    import_type: int = 1,
    export_type: int = 0,
    body: bytes = ZERO,
) -> bytes:
    """A module whose functions have one type and one body; imports have type (i64) -> i64."""
    parts = [TYPES]
    if imports:
        found = [named(m) + named(n) + bytes((0, import_type)) for m, n in imports]
        parts.append(section(IMPORT, vector(found)))
    parts.append(section(FUNCTION, vector([bytes((export_type,))] * len(exports))))
    if memories:
        parts.append(memories)
    listed = [named(name) + b"\x00" + leb128(len(imports) + i) for i, name in enumerate(exports)]
    parts.append(section(EXPORT, vector(listed)))
    code = b"\x00" + body + b"\x0b"
    parts.append(section(_CODE, vector([leb128(len(code)) + code] * len(exports))))
    return module(parts)
