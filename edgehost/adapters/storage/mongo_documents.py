"""Records as BSON documents, and conditions as what a MongoDB-compatible server understands.

A server's idea of equality and order differs from ours in places (arrays, null, truth values), and servers differ
among themselves. So it is only asked for a superset: every document that can match, at least. What it brings is
looked at again here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgehost.adapters.storage.field_index import beyond_prefix
from edgehost.adapters.storage.record_codec import decode_record, encode_record
from edgehost.domain.errors import InvalidRecordError
from edgehost.domain.record import Record
from edgehost.domain.record_conditions import kind_of
from edgehost.domain.record_query import AllOf, AnyOf, Condition, Filter, Operator

#: What BSON can hold as a whole number.
_LEAST_WHOLE, _MOST_WHOLE = -(2**63), 2**63 - 1

_RANGES: Final = {
    Operator.LT: "$lt",
    Operator.LE: "$lte",
    Operator.GT: "$gt",
    Operator.GE: "$gte",
}
_OWN_FIELDS: Final = {
    "id": "_id",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "revision": "revision",
}

Document = dict[str, Any]


def to_document(record: Record, *, limit_bytes: int) -> Document:
    """The record as it is stored, without its place; sharing nothing with the record.

    Data that BSON cannot hold (whole numbers beyond 64 bits, odd names of members) is kept as JSON in ``raw``.

    Raises:
        InvalidRecordError, TooLargeError: the record cannot be stored.
    """
    raw = encode_record(record, limit_bytes=limit_bytes)
    if not all(map(_encodable, (record.revision, record.idempotency_key, record.request_digest))):
        raise InvalidRecordError(
            f"A revision, key or digest of {record.model} {record.id} is no proper text."
        )
    copy = decode_record(record.model, raw)
    document: Document = {
        "_id": record.id,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
    if record.idempotency_key:
        document["key"] = record.idempotency_key
    if record.request_digest:
        document["digest"] = record.request_digest
    if _fits(copy.data):
        document["data"] = dict(copy.data)
    else:
        document["raw"] = raw
    return document


def from_document(model: str, document: Mapping[str, Any]) -> Record:
    """The record that the document holds."""
    if "raw" in document:
        return decode_record(model, bytes(document["raw"]))
    return Record(
        model,
        document["_id"],
        document["data"],
        document["revision"],
        document["created_at"],
        document["updated_at"],
        idempotency_key=document.get("key", ""),
        request_digest=document.get("digest", ""),
    )


def superset_filter(conditions: Sequence[Condition]) -> Document | None:
    """A server's filter that no match falls through; None when there is none worth asking for."""
    parts = [part for condition in conditions if (part := _part(condition)) is not None]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"$and": parts}


def served_field(condition: Condition, indexed: frozenset[str]) -> str | None:
    """The indexed field that the condition is served by, if one is."""
    if isinstance(condition, AllOf):
        return next((field for each in condition.conditions if (field := served_field(each, indexed))), None)
    if isinstance(condition, Filter) and _part(condition) is not None:
        useful = condition.operator in {Operator.EQ, Operator.IN, Operator.PREFIX, *_RANGES}
        return condition.field if useful and condition.field in indexed else None
    return None


def _part(condition: Condition) -> Document | None:
    match condition:
        case Filter():
            return _field_part(condition)
        case AllOf():
            return superset_filter(condition.conditions)
        case AnyOf():
            parts = [_part(each) for each in condition.conditions]
            known = [part for part in parts if part is not None]
            return {"$or": known} if known and len(known) == len(parts) else None
        case _:
            return None


def _field_part(condition: Filter) -> Document | None:
    path = server_path(condition.field)
    value = condition.value
    if path is None:
        return None
    match condition.operator:
        case Operator.IN if value and all(map(_comparable, value)):
            return {path: {"$in": list(value)}}
        case Operator.PREFIX if isinstance(value, str) and value and _comparable(value):
            beyond = beyond_prefix(value)
            upper = {"$lt": beyond} if beyond and _comparable(beyond) else {}
            return {path: {"$gte": value, **upper}}
        case Operator.EQ if _comparable(value):
            return {path: value}
        case Operator.LT | Operator.LE | Operator.GT | Operator.GE if _comparable(value):
            return {path: {_RANGES[condition.operator]: value}}
        case _:
            return None


def server_path(field: str) -> str | None:
    """The field's name on the server; None for one that cannot stand there, or that steps into a list."""
    if field in _OWN_FIELDS:
        return _OWN_FIELDS[field]
    steps = field.split(".")
    if any(not step or step.startswith("$") or "\0" in step or step.isdecimal() for step in steps):
        return None
    return f"data.{field}" if _encodable(field) else None


def _comparable(value: object) -> bool:
    """Whether server and host mean the same by the value, or the server means more."""
    match kind_of(value):
        case 0:
            return isinstance(value, float) or (
                isinstance(value, int) and _LEAST_WHOLE <= value <= _MOST_WHOLE
            )
        case 1:
            return isinstance(value, str) and "\0" not in value and _encodable(value)
        case _:
            return False


def _fits(value: object) -> bool:
    """Whether BSON holds the value, and brings it back as it was."""
    match value:
        case dict():
            return all(_fits_name(name) and _fits(member) for name, member in value.items())
        case list():
            return all(map(_fits, value))
        case str():
            return _encodable(value)
        case bool():
            return True
        case int():
            return _LEAST_WHOLE <= value <= _MOST_WHOLE
        case _:
            return True


def _fits_name(name: str) -> bool:
    return (
        bool(name) and not name.startswith("$") and "." not in name and "\0" not in name and _encodable(name)
    )


def _encodable(text: str) -> bool:
    """Half of a surrogate pair is no UTF-8."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
