"""JSON from outside, read strictly: what two readers could understand differently is refused (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from edgehost.domain.errors import RefusedError, TooLargeError

#: Deeper documents are attacks on recursive readers, here and in guests.
MAX_DEPTH: Final = 32
#: Bounds what validating one document costs.
MAX_VALUES: Final = 10_000
#: Keys are matched against patterns and repeated in messages.
MAX_KEY_LENGTH: Final = 256
#: Beyond 64 bits neither guests nor most other readers can hold a whole number.
_MAX_WHOLE: Final = 2**64 - 1


class MalformedJSONError(RefusedError):
    """The text is not JSON, or JSON that readers disagree about."""

    code = "malformed-json"


def read_json(text: bytes) -> Any:  # noqa: ANN401 - JSON holds anything
    """The value in a UTF-8 text, whose length the caller has bounded.

    Raises:
        MalformedJSONError: it is no JSON, repeats a key, or holds a number or character that cannot be kept.
        TooLargeError: it is too deep, has too many values or too long a key.
    """
    try:
        value = _DECODER.decode(text.decode())
    except UnicodeDecodeError as error:
        raise MalformedJSONError(
            f"The text is not UTF-8 at byte {error.start}.", hint="Send JSON as UTF-8."
        ) from None
    except json.JSONDecodeError as error:
        raise MalformedJSONError(
            f"The text is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    # Every level costs an opening bracket and every value two bytes, so small texts need no walk.
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH or len(text) > 2 * MAX_VALUES:
        require_bounded(value)
    if b"\\ud" in text or b"\\uD" in text:
        _require_encodable(value)
    return value


def write_json(value: object) -> bytes:
    """The value as compact UTF-8 text."""
    return _ENCODER.encode(value).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MalformedJSONError(f"The key {twice[:80]!r} appears twice in one object.")
    for key in members:
        if len(key) > MAX_KEY_LENGTH:
            raise TooLargeError(f"The key {key[:40]!r}... is longer than {MAX_KEY_LENGTH} characters.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJSONError(f"The number {text[:40]} is too large to be kept.")
    return number


def _whole(text: str) -> int:
    # 2**64 has 20 digits; longer texts are not even converted, since that takes quadratic time.
    number = int(text) if len(text) <= 21 else None  # noqa: PLR2004
    if number is None or not -_MAX_WHOLE <= number <= _MAX_WHOLE:
        raise MalformedJSONError(f"The number {text[:40]} does not fit 64 bits.")
    return number


def _no_constant(text: str) -> float:
    raise MalformedJSONError(f"{text} is no JSON.", hint="Use null for a missing number.")


def tell_json(value: object) -> bytes:
    """The value for somebody to read, even when it holds text from a guest that is no proper Unicode."""
    try:
        return write_json(value)
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode()  # with the odd characters escaped


def same_json(left: object, right: object) -> bool:
    """Whether both are the same JSON; unlike for Python, true is not 1. The order of members may count as a change."""
    return left == right and write_json(left) == write_json(right)


def require_bounded(value: object) -> None:
    """Check depth and number of values.

    Raises:
        TooLargeError: there are too many.
    """
    level, depth, values = [value], 0, 0
    while level:
        depth += 1
        values += len(level)
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        nested = any(isinstance(item, dict | list) for item in level)
        if depth > MAX_DEPTH and nested:
            raise _too_deep()
        if values > MAX_VALUES:
            raise TooLargeError(
                f"The text holds more than {MAX_VALUES} values.", hint="Send several smaller ones."
            )
        level = below


def _too_deep() -> TooLargeError:
    return TooLargeError(f"The text is nested more than {MAX_DEPTH} levels deep.", hint="Flatten it.")


def _require_encodable(value: object) -> None:
    try:
        write_json(value)
    except UnicodeEncodeError:
        raise MalformedJSONError(
            "The text holds half of a surrogate pair.", hint="Escape characters beyond U+FFFF as pairs."
        ) from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_whole, parse_constant=_no_constant
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
)
