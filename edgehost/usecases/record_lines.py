"""Many records as one stream of bytes: a line of JSON or an item of CBOR each."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from edgehost.domain.cbor_sequence import CborItems
from edgehost.domain.errors import InvalidRecordError, RefusedError, TooLargeError
from edgehost.domain.json_text import read_json, tell_json, write_json

#: What an exported record has; a line with these members only is one, any other line is bare data.
_EXPORTED: Final = frozenset(
    {"model", "id", "data", "revision", "created_at", "updated_at", "unreadable", "related"}
)
#: Beside the data of a record.
_ENVELOPE_BYTES: Final = 4096


class BulkFormat(enum.StrEnum):
    """How records are written one after the other."""

    NDJSON = "ndjson"  # application/x-ndjson
    CBOR = "cbor"  # application/cbor-seq, RFC 8742


@dataclass(frozen=True, slots=True)
class Line:
    """One record to import; ``number`` counts lines or items from 1."""

    number: int
    record_id: str
    data: Mapping[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record."""

    number: int
    error: RefusedError


async def read_lines(
    chunks: AsyncIterator[bytes], form: BulkFormat, *, record_bytes: int
) -> AsyncIterator[Line | BadLine]:
    """The records in a stream that may come cut anywhere; never more of it in memory than one line and one chunk.

    Raises:
        TooLargeError: a line is longer than a record can be; what follows cannot be told from it.
        RefusedError: the stream is no CBOR, or ends within an item.
    """
    most = record_bytes + _ENVELOPE_BYTES
    number = 0
    splitter = _JsonLines(most) if form is BulkFormat.NDJSON else CborItems(most)
    async for chunk in chunks:
        for raw in splitter.feed(chunk):
            number += 1
            if raw.strip():
                yield _read_line(number, raw, form)
    if isinstance(splitter, CborItems):
        splitter.finish()
    elif splitter.rest.strip():
        yield _read_line(number + 1, splitter.rest, form)


def write_line(document: Mapping[str, Any], form: BulkFormat) -> bytes:
    """A record's document as one line or item."""
    if form is BulkFormat.NDJSON:
        return tell_json(document) + b"\n"
    item: bytes = cbor2.dumps(_proper(document))
    return item


def _proper(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """The value with what is no proper Unicode replaced: CBOR has no way to write it."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_proper(name): _proper(member) for name, member in value.items()}
    return [_proper(each) for each in value] if isinstance(value, list) else value


class _JsonLines:
    """Lines, however they are cut."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._begun = bytearray()

    @property
    def rest(self) -> bytes:
        """What follows the last end of a line."""
        return bytes(self._begun)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        first, *others = chunk.split(b"\n")
        self._begun += first
        self._require_short(self._begun)
        if not others:
            return
        line, self._begun = bytes(self._begun), bytearray(others.pop())
        yield line
        for each in others:
            self._require_short(each)
            yield each
        self._require_short(self._begun)

    def _require_short(self, line: bytes | bytearray) -> None:
        if len(line) > self._most_bytes:
            raise TooLargeError(
                f"A line has more than {self._most_bytes} bytes.", hint="Is it one record per line?"
            )


def _read_line(number: int, raw: bytes, form: BulkFormat) -> Line | BadLine:
    try:
        text = raw if form is BulkFormat.NDJSON else _cbor_as_json(raw)
        return _as_record(number, read_json(text.strip()), len(raw))
    except RefusedError as error:
        return BadLine(number, error)


def _cbor_as_json(raw: bytes) -> bytes:
    """An item as JSON, so that one reader checks both: keys, numbers, depth and size."""
    try:
        return write_json(cbor2.loads(raw))
    except (cbor2.CBORDecodeError, TypeError, ValueError, RecursionError):
        raise InvalidRecordError("The item is no record.", hint="Send maps with texts as keys.") from None


def _as_record(number: int, value: object, size_bytes: int) -> Line:
    if not isinstance(value, dict):
        raise InvalidRecordError("The line is no object.", hint='Write {"id": ..., "data": {...}}.')
    if isinstance(value.get("data"), dict) and value.keys() <= _EXPORTED:
        record_id, data = value.get("id", ""), value["data"]
    else:
        record_id, data = value.pop("id", ""), value
    if not isinstance(record_id, str):
        raise InvalidRecordError("The id must be a string.", hint="Leave it out to have one made.")
    return Line(number, record_id, data, size_bytes)
