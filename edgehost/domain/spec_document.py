"""A specification as a document and as the bytes that a component carries."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

import cbor2

from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.property_spec import Condition

#: A specification is read before anything else is known of a file, on boards too.
MAX_SPEC_BYTES: Final = 64 * 1024
MAX_SPEC_DEPTH: Final = 32

_TEXT, _ARRAY, _MAP, _SIMPLE = 3, 4, 5, 7
#: false, true, null, and the three sizes of a float; 31 would be an indefinite length.
_SIMPLE_ALLOWED: Final = frozenset({20, 21, 22, 25, 26, 27})
_ARGUMENT_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_LONGEST_DIRECT: Final = 23


def spec_document(spec: ComponentSpec) -> dict[str, Any]:
    """The document that reads back as this specification; what has its default value is left out."""
    return _document(spec)


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The document as CBOR; the same document gives the same bytes.

    Raises:
        InvalidComponentError: it is too large or too deep to embed, or holds what JSON cannot.
    """
    encoded: bytes = cbor2.dumps(_ordered(_plain(document), MAX_SPEC_DEPTH))
    if len(encoded) > MAX_SPEC_BYTES:
        raise InvalidComponentError(
            f"The specification takes {len(encoded)} bytes; {MAX_SPEC_BYTES} is the limit.",
            hint="Shorten descriptions, config or the schema.",
        )
    return encoded


def decode_spec(encoded: bytes) -> ComponentSpec:
    """The specification in these bytes.

    Raises:
        InvalidComponentError: the bytes are not the CBOR that ``encode_document`` writes.
        InvalidSpecificationError: they are, but no specification.
    """
    if len(encoded) > MAX_SPEC_BYTES:
        raise _damaged(f"it takes {len(encoded)} bytes; {MAX_SPEC_BYTES} is the limit")
    members = _count_members(encoded)
    try:
        document = cbor2.loads(encoded)
    except (cbor2.CBORError, ValueError) as error:
        raise _damaged(f"it cannot be decoded ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise _damaged("it is no table")
    plain = _ordered(document, MAX_SPEC_DEPTH)
    if _members_kept(plain) != members:
        raise _damaged("a table has a key twice")
    return read_component_spec(plain)


def _document(noun: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the specification's dataclasses
    document = {}
    for field in fields(noun):
        value = getattr(noun, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if default is MISSING or value != default:
            document[field.name] = _plain(value)
    return document


def _plain(value: Any) -> Any:  # noqa: ANN401 - a document holds anything
    if value == Condition():
        return True
    if hasattr(value, "__dataclass_fields__"):
        return _document(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _ordered(value: Any, depth: int) -> Any:  # noqa: ANN401 - a document holds anything
    """The value with every table in one order of keys, refused when it is not JSON's."""
    if not depth:
        raise InvalidComponentError(
            f"The specification is nested more than {MAX_SPEC_DEPTH} deep.", hint="Flatten the schema."
        )
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise InvalidComponentError("The specification has a key that is no string.", hint="Quote it.")
        return {key: _ordered(value[key], depth - 1) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item, depth - 1) for item in value]
    known = isinstance(value, str | bool | int | None)
    if not known and not (isinstance(value, float) and math.isfinite(value)):
        raise InvalidComponentError(
            f"The specification holds {str(value)[:80]!r}, which JSON cannot express.",
            hint="Write dates as strings and numbers as finite ones.",
        )
    return value


def _count_members(encoded: bytes) -> int:
    """The members of all tables, by walking the items' heads.

    The decoder is not trusted with depth, indefinite lengths, tags or lengths beyond the input: its versions
    differ in what they refuse, and older ones recurse natively.
    """
    stream = io.BytesIO(encoded)
    open_items = [1]  # items that each open array or table still waits for
    members = 0
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        major, argument = _read_head(stream)
        if major == _TEXT:
            if argument > len(encoded) or len(stream.read(argument)) < argument:
                raise _damaged("a string ends too early")
        elif major in {_ARRAY, _MAP}:
            if argument > len(encoded) or len(open_items) > MAX_SPEC_DEPTH:
                raise _damaged("it is nested too deeply or claims more items than it has bytes")
            members += argument if major == _MAP else 0
            open_items.append(argument * 2 if major == _MAP else argument)
    if stream.read(1):
        raise _damaged("bytes follow it")
    return members


def _read_head(stream: io.BytesIO) -> tuple[int, int]:
    first = stream.read(1)
    if not first:
        raise _damaged("it ends too early")
    major, detail = first[0] >> 5, first[0] & 0x1F
    if major in {2, 6} or (major == _SIMPLE and detail not in _SIMPLE_ALLOWED):
        raise _damaged("it holds bytes, tags or special values")
    if detail <= _LONGEST_DIRECT:
        return major, detail
    size = _ARGUMENT_SIZES.get(detail)
    argument = stream.read(size) if size else b""
    if not size or len(argument) < size:
        raise _damaged("a length is indefinite or ends too early")
    if major == _SIMPLE:
        return major, 0
    return major, int.from_bytes(argument, "big")


def _members_kept(value: Any) -> int:  # noqa: ANN401 - a document holds anything
    if isinstance(value, dict):
        return len(value) + sum(_members_kept(item) for item in value.values())
    if isinstance(value, list):
        return sum(_members_kept(item) for item in value)
    return 0


def _damaged(what: str) -> InvalidComponentError:
    return InvalidComponentError(
        f"The embedded specification is unusable: {what}.",
        hint="Rebuild the component with 'edgehost build'.",
    )
