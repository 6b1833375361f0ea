"""Documents as compact ASCII JSON, which is how they lie in a journal and in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError, TooLargeError

#: A document is one line and one JSON text in memory.
MAX_DOCUMENT_BYTES: Final = 1024 * 1024

_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().raw_decode


def decode_document(raw: bytes) -> Any:  # noqa: ANN401  a document holds any JSON value
    """The document anew; ``encode_document`` made it, which spares the checks for what else JSON may look like."""
    return _decode(raw.decode("ascii"))[0]


def encode_document(document: Mapping[str, Any], *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The document as compact ASCII JSON.

    Raises:
        InvalidRecordError: JSON cannot hold it.
        TooLargeError: it passes the limit in bytes or in depth.
    """
    try:
        raw = _encode(document).encode("ascii")
    except RecursionError as error:
        raise TooLargeError("The document is nested too deeply.", hint="Flatten it.") from error
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(
            f"The document cannot be stored: {error}.",
            hint="Use JSON values only; NaN and infinity are none.",
        ) from error
    if len(raw) > limit_bytes:
        raise TooLargeError(
            f"The document has {len(raw)} bytes; the limit is {limit_bytes}.",
            hint="Store large content elsewhere and keep a reference to it.",
        )
    return raw
