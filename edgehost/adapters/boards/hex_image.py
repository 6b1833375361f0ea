"""Intel HEX, read in one pass: a library's entry per byte would cost a Pi a hundred times the image's size."""

from __future__ import annotations

from typing import Final

from edgehost.domain.errors import InvalidImageError

_DATA: Final = 0
_END: Final = 1
_SEGMENT: Final = 2
_LINEAR: Final = 4
#: 3 and 5: where execution starts, which a bootloader does not ask for.
_IGNORED: Final = (3, 5)
_SHORTEST: Final = 5
_MOST_RUNS: Final = 4096


def hex_segments(name: str, content: bytes) -> list[tuple[int, bytes]]:
    """(address, data), in the order of addresses; records that follow each other are one.

    Raises:
        InvalidImageError: a record is damaged, the end is missing, or a byte is given twice.
    """
    runs: list[tuple[int, bytearray]] = []
    base, has_ended = 0, False
    for number, line in enumerate(content.split(b"\n"), 1):
        text = line.strip()
        if not text:
            continue
        if has_ended:
            raise _damaged(name, number, "stands behind the end")
        kind, offset, data = _record(name, number, text)
        if kind == _DATA:
            _add(runs, base + offset, data)
        elif kind == _END:
            has_ended = True
        elif kind in (_SEGMENT, _LINEAR) and len(data) == 2:  # noqa: PLR2004 - 16 bits of address
            base = int.from_bytes(data, "big") << (4 if kind == _SEGMENT else 16)
        elif kind not in _IGNORED:
            raise _damaged(name, number, f"has the unknown type {kind}")
        if len(runs) > _MOST_RUNS:
            raise InvalidImageError(f"{name} is in more than {_MOST_RUNS} pieces.")
    if not has_ended:
        raise InvalidImageError(f"{name} breaks off: its last record is missing.", hint="Copy it again.")
    return _joined(name, runs)


def _record(name: str, number: int, text: bytes) -> tuple[int, int, bytes]:
    try:
        raw = bytes.fromhex(text[1:].decode("ascii")) if text[:1] == b":" else b""
    except ValueError:
        raw = b""
    if len(raw) < _SHORTEST or len(raw) != raw[0] + _SHORTEST:
        raise _damaged(name, number, "is no record")
    if sum(raw) & 0xFF:
        raise _damaged(name, number, "has a wrong checksum")
    return raw[3], int.from_bytes(raw[1:3], "big"), raw[4:-1]


def _add(runs: list[tuple[int, bytearray]], address: int, data: bytes) -> None:
    if runs and runs[-1][0] + len(runs[-1][1]) == address:
        runs[-1][1].extend(data)
    elif data:
        runs.append((address, bytearray(data)))


def _joined(name: str, runs: list[tuple[int, bytearray]]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytearray]] = []
    for address, data in sorted(runs, key=lambda run: run[0]):
        end = found[-1][0] + len(found[-1][1]) if found else -1
        if address < end:
            raise InvalidImageError(f"{name} gives 0x{address:x} twice.", hint="A damaged file.")
        if address == end:
            found[-1][1].extend(data)
        else:
            found.append((address, data))
    return [(address, bytes(data)) for address, data in found]


def _damaged(name: str, number: int, what: str) -> InvalidImageError:
    return InvalidImageError(f"Line {number} of {name} {what}.", hint="A damaged file: copy it again.")
