"""What conditions mean, whatever the store.

Values are compared within their kind: numbers with numbers, texts with texts. Truth values, null, lists and
objects are equal or not, never greater. A field that a record lacks matches nothing but ``exists = false``; NE
is true for a value of another kind.
"""

from __future__ import annotations

import functools
import operator
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from edgehost.domain.record import Record
from edgehost.domain.record_query import AllOf, AnyOf, Condition, Filter, Operator, Words

#: Kinds that have an order, by their number in an index.
NUMBER, TEXT = 0, 1

#: What full-text search knows of one field and of one word: the rest of a novel is not found.
MAX_WORDS: Final = 256
MAX_WORD_LENGTH: Final = 32
#: Looked for at a time.
MAX_WANTED: Final = 8

_WORD: Final = re.compile(r"[^\W_]+")
_SCANNED_TEXT: Final = MAX_WORDS * 64
_ORDERED: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


class _Missing:
    """No such field: equal to nothing, not even to null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def field_of(record: Record, path: str) -> Any:  # noqa: ANN401  a field holds any JSON value
    """What stands at a dotted path, or MISSING."""
    match path:
        case "id":
            return record.id
        case "created_at":
            return record.created_at
        case "updated_at":
            return record.updated_at
        case "revision":
            return record.revision
        case _:
            return member_of(record.data, path)


def member_of(data: Any, path: str) -> Any:  # noqa: ANN401  as above
    """What stands at a dotted path into JSON, or MISSING."""
    value: Any = data
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10:  # noqa: PLR2004  int() stays cheap
            place = int(step)
            value = value[place] if place < len(value) else MISSING
        else:
            return MISSING
    return value


def kind_of(value: object) -> int | None:
    """NUMBER, TEXT, or None for what has no order."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, int | float) and not isinstance(value, bool):
        return NUMBER
    return None


def matches(record: Record, conditions: Sequence[Condition]) -> bool:
    """Whether every condition holds."""
    return all(_met(record, condition) for condition in conditions)


def _met(record: Record, condition: Condition) -> bool:
    match condition:
        case Filter():
            return _holds(field_of(record, condition.field), condition)
        case Words():
            return _has_words(record, condition)
        case AllOf():
            return matches(record, condition.conditions)
        case AnyOf():
            return any(_met(record, each) for each in condition.conditions)


def _holds(value: Any, condition: Filter) -> bool:  # noqa: ANN401, PLR0911  a field holds any JSON value; one return per operator
    wanted = condition.value
    if condition.operator is Operator.EXISTS:
        return (value is not MISSING) is wanted
    if value is MISSING:
        return False
    match condition.operator:
        case Operator.EQ:
            return same(value, wanted)
        case Operator.NE:
            return not same(value, wanted)
        case Operator.IN:
            return any(same(value, each) for each in wanted)
        case Operator.NIN:
            return not any(same(value, each) for each in wanted)
        case Operator.CONTAINS:
            if isinstance(value, list):
                return any(same(each, wanted) for each in value)
            return isinstance(value, str) and isinstance(wanted, str) and wanted in value
        case Operator.PREFIX:
            return isinstance(value, str) and isinstance(wanted, str) and value.startswith(wanted)
        case _:
            kind = kind_of(value)
            return (
                kind is not None and kind == kind_of(wanted) and _ORDERED[condition.operator](value, wanted)
            )


def same(left: Any, right: Any) -> bool:  # noqa: ANN401  any two JSON values
    """JSON equality: 1 equals 1.0 but not true, at every depth."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def words_of(text: str) -> Iterator[str]:
    """The words of a text as they are compared: folded to lower case, without accents, bounded in number."""
    folded = _folded(text[:_SCANNED_TEXT])
    for place, found in enumerate(_WORD.finditer(folded)):
        if place == MAX_WORDS:
            return
        yield found[0][:MAX_WORD_LENGTH]


@functools.lru_cache(maxsize=256)
def wanted_words(text: str) -> tuple[str, ...]:
    """The words that are looked for, each once, the longest first."""
    return tuple(sorted(set(words_of(text)), key=lambda word: (-len(word), word))[:MAX_WANTED])


def record_words(record: Record, fields: Sequence[str]) -> set[str]:
    """Every word in these fields of the record: of texts, and of texts in a list."""
    words: set[str] = set()
    for path in fields:
        value = field_of(record, path)
        for each in value[:MAX_WORDS] if isinstance(value, list) else [value]:
            if isinstance(each, str):
                words.update(words_of(each))
    return words


def _has_words(record: Record, condition: Words) -> bool:
    wanted = wanted_words(condition.text)
    if not wanted:
        return False
    words = record_words(record, condition.fields)
    return all(any(word.startswith(each) for word in words) for each in wanted)


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
