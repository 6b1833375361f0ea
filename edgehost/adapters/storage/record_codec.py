"""Records as the documents that are stored: checked on the way in, made anew on the way out."""

from __future__ import annotations

import re
from typing import Any, Final

from edgehost.adapters.storage.document_codec import decode_document, encode_document
from edgehost.domain.errors import InvalidRecordError, TooLargeError
from edgehost.domain.record import Record, require_record_id

#: Model names become table names, file names and topics: a model's name, or that of a table of the host's own beside it, which has a dot.
MODEL_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,63}(\.[a-z0-9-]{1,32})?")

#: Deeper documents are refused long before the interpreter's own limit of about 1000.
MAX_DEPTH: Final = 64

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_MAX_TEXT: Final = 512  # revisions, keys and digests are short


def encode_record(record: Record, *, limit_bytes: int) -> bytes:
    """The record as a stored document.

    Raises:
        InvalidRecordError: its model, id or data cannot be stored.
        TooLargeError: it passes the limit in bytes or in depth.
    """
    if not MODEL_PATTERN.fullmatch(record.model):
        raise InvalidRecordError(
            f"{record.model[:80]!r} cannot name a model.",
            hint="Use 1 to 64 lower-case letters, digits or '-', starting with a letter.",
        )
    require_record_id(record.id)
    if max(len(record.revision), len(record.idempotency_key), len(record.request_digest)) > _MAX_TEXT:
        raise TooLargeError(
            f"A revision, key or digest of {record.model} {record.id} has more than {_MAX_TEXT} characters.",
            hint="Send a shorter one.",
        )
    data = dict(record.data)
    _require_json(data, "", 1)
    document: dict[str, Any] = {
        "id": record.id,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
    if record.idempotency_key:
        document["idempotency_key"] = record.idempotency_key
    if record.request_digest:
        document["request_digest"] = record.request_digest
    document["data"] = data
    return encode_document(document, limit_bytes=limit_bytes)


def decode_record(model: str, raw: bytes) -> Record:
    """The record, sharing nothing with what is stored."""
    document = decode_document(raw)
    return Record(
        model,
        document["id"],
        document["data"],
        document["revision"],
        document["created_at"],
        document["updated_at"],
        idempotency_key=document.get("idempotency_key", ""),
        request_digest=document.get("request_digest", ""),
    )


def _require_json(value: Any, pointer: str, depth: int) -> None:  # noqa: ANN401  that is the question
    if depth > MAX_DEPTH:
        raise TooLargeError(f"The record is nested more than {MAX_DEPTH} deep.", hint="Flatten it.")
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise _not_json(f"{pointer}/{key}", "the name of a member is no text")
            if type(member) not in _SCALARS:
                _require_json(member, f"{pointer}/{key}", depth + 1)
    elif isinstance(value, list):
        for place, member in enumerate(value):
            if type(member) not in _SCALARS:
                _require_json(member, f"{pointer}/{place}", depth + 1)
    elif not isinstance(value, str | int | float | None):
        raise _not_json(pointer, f"{type(value).__name__} is no JSON value")


def _not_json(pointer: str, what: str) -> InvalidRecordError:
    return InvalidRecordError(
        f"The record cannot be stored: at {pointer[:200] or '/'} {what}.",
        hint="Use text, numbers, true, false, null, lists and objects.",
        problems=((pointer, what),),
    )
