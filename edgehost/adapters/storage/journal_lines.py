r"""Lines that check themselves: the only two forms in which a document stands on the disk.

A journal line is ``<crc32> <length> <change>[\t<change>...]\n`` and is applied whole or not at all. The length
finds the next line when a line end was damaged; the line end finds it when the length was. A change is
``put <id> <table> <json>``, ``del <id> <table>`` or ``top <id> <table>`` (no document of the table had a
later id so far, so none is given out twice).

A base line is one member of a JSON object that stock TinyDB reads: ``"<id>":{...,"_check":"<crc32> <table>"}``.
It repeats its table, so a damaged heading costs no document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

from edgehost.domain.errors import DamagedError, InvalidRecordError

#: Table names stand unquoted in lines.
TABLE_PATTERN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

#: Room for the checksum, the length and the change's own words beside a document.
LINE_OVERHEAD: Final = 256

_HEAD: Final = re.compile(rb"([0-9a-f]{8}) ([1-9][0-9]{0,8}) ")
_BASE_LINE: Final = re.compile(
    rb'"([1-9][0-9]{0,18})":(\{.*)"_check":"[0-9a-f]{8} ([A-Za-z0-9_.-]{1,64})"\},?'
)
_STRUCTURE: Final = re.compile(rb'\{|\}|\},|\}\}|\{\}|"[A-Za-z0-9_.-]{1,64}":\{')


class Change(NamedTuple):
    """One step from a state of the tables to the next."""

    op: str  # "put", "del" or "top"
    table: str
    doc_id: int
    raw: bytes = b""  # the document as compact ASCII JSON, for "put"

    @property
    def weight(self) -> int:
        """About the bytes that it takes in a file."""
        return len(self.raw) + len(self.table) + 32

    def encoded(self) -> bytes:
        """The change as it stands in a line."""
        if self.op == "put":
            return b"put %d %b %b" % (self.doc_id, self.table.encode(), self.raw)
        return b"%b %d %b" % (self.op.encode(), self.doc_id, self.table.encode())


class Piece(NamedTuple):
    """Part of a line: a payload whose checksum holds, or (None) bytes that nothing vouches for."""

    offset: int
    payload: bytes | None
    size: int


def journal_line(changes: Iterable[Change]) -> bytes:
    """One line that holds all of these changes, or after a crash none."""
    payload = b"\t".join([change.encoded() for change in changes])
    return b"%08x %d %b\n" % (crc32(payload), len(payload), payload)


def split_journal_line(line: bytes) -> Iterator[Piece]:
    """The payloads in what was read up to a line end: one, unless a byte has changed."""
    position = 0
    while position < len(line):
        head = _HEAD.match(line, position)
        if head is None:
            break
        end = head.end() + int(head[2])
        payload = line[head.end() : end]
        if len(payload) != int(head[2]) or b"%08x" % crc32(payload) != head[1]:
            break
        yield Piece(position, payload, end - position)
        if line[end : end + 1] not in (b"\n", b""):
            yield Piece(end, None, 1)  # a line end that no longer is one
        position = end + 1
    if position < len(line):
        yield Piece(position, None, len(line) - position)


def changes_in(payload: bytes) -> list[Change]:
    """The changes of one line.

    Raises:
        DamagedError: the checksum held, yet this is no change: a later version wrote it.
    """
    changes = []
    for part in payload.split(b"\t"):
        op, _, rest = part.partition(b" ")
        doc_id, _, rest = rest.partition(b" ")
        table, _, raw = rest.partition(b" ")
        if op not in (b"put", b"del", b"top") or not doc_id.isdigit():
            raise DamagedError(
                f"The journal holds a change that this version does not know ({part[:40]!r}).",
                hint="Use the version of edgehost that wrote it, or a later one.",
            )
        changes.append(Change(op.decode(), table.decode(), int(doc_id), raw))
    return changes


def base_line(table: str, doc_id: int, raw: bytes) -> bytes:
    """The document as a member of its table in the compacted file, without a line end."""
    comma = b"" if raw == b"{}" else b","
    check = crc32(Change("put", table, doc_id, raw).encoded())
    return b'"%d":%b%b"_check":"%08x %b"}' % (doc_id, raw[:-1], comma, check, table.encode())


def parse_base_line(line: bytes) -> Change | None:
    """The document of a base line when its checksum holds, else None."""
    match = _BASE_LINE.fullmatch(line)
    if match is None:
        return None
    doc_id, table = int(match[1]), match[3].decode()
    body = match[2]
    raw = b"{}" if body == b"{" else body[:-1] + b"}"
    whole = base_line(table, doc_id, raw)
    return Change("put", table, doc_id, raw) if line in (whole, whole + b",") else None


def is_base_structure(line: bytes) -> bool:
    """Whether the line is a brace or a table's heading, as ``base_file`` writes them."""
    return not line or _STRUCTURE.fullmatch(line) is not None


def base_file(tables: Iterable[tuple[str, Iterable[tuple[int, bytes]]]]) -> Iterator[bytes]:
    """The compacted file, piece by piece: a JSON object of one table per model."""
    yield b"{\n"
    closing = b""
    for table, documents in tables:
        yield closing + b'"%b":{\n' % table.encode()
        separator = b""
        for doc_id, raw in documents:
            # A blank line between two documents: one changed bit in a line end cannot join them.
            yield separator + base_line(table, doc_id, raw)
            separator = b",\n\n"
        closing = b"\n},\n"
    yield (b"\n}" if closing else b"") + b"\n}\n"


def require_table(name: str) -> str:
    """The name itself, when it may stand in a line.

    Raises:
        InvalidRecordError: it has other characters, or is empty or too long.
    """
    if not TABLE_PATTERN.fullmatch(name):
        raise InvalidRecordError(
            f"{name[:80]!r} cannot name a table.", hint="Use 1 to 64 letters, digits, '_', '.' or '-'."
        )
    return name
