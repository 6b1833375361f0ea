"""What the host and the process of the workshop say to each other: one line of JSON each way; bytes as base64."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any, Final

from edgehost.domain.certificate_life import CertificateFacts
from edgehost.ports.certificate_authority import Pair

#: A list of anchors may have 4 MiB, and takes a third more as base64.
LINE_MOST_BYTES: Final = 16 * 1024 * 1024
_BYTES, _PAIR, _FACTS = "bytes", "pair", "facts"


def packed(value: Any) -> Any:  # noqa: ANN401 - what the workshop takes and gives
    """The value for JSON."""
    match value:
        case bytes():
            return {_BYTES: base64.b64encode(value).decode()}
        case Pair():
            return {_PAIR: [packed(value.certificate), packed(value.key)]}
        case CertificateFacts():
            return {_FACTS: asdict(value)}
        case dict():
            return {name: packed(inner) for name, inner in value.items()}
        case list() | tuple():
            return [packed(each) for each in value]
        case _:
            return value


def unpacked(value: Any) -> Any:  # noqa: ANN401 - as above
    """The value that was packed.

    Raises:
        ValueError, TypeError, KeyError: it was not.
    """
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_BYTES}:
        return base64.b64decode(value[_BYTES], validate=True)
    if set(value) == {_PAIR}:
        certificate, key = value[_PAIR]
        return Pair(unpacked(certificate), unpacked(key))
    if set(value) == {_FACTS}:
        facts = value[_FACTS]
        return CertificateFacts(**{**facts, "names": tuple(facts["names"])})
    return {name: unpacked(inner) for name, inner in value.items()}


def line_of(document: dict[str, Any]) -> bytes:
    """One message."""
    return json.dumps(packed(document), separators=(",", ":")).encode() + b"\n"


def read_line(line: bytes) -> dict[str, Any]:
    """The message.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    if not line.endswith(b"\n"):
        raise ValueError("the line is cut")
    document = unpacked(json.loads(line))
    if not isinstance(document, dict):
        raise TypeError("no message")
    return document
