"""What queries mean, told a second time in the plainest Python; and queries to compare with."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

from edgehost.domain.record import Record
from edgehost.domain.record_query import AllOf, AnyOf, Condition, Filter, Operator, Sort, Words

NOTHING = object()

NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -0.0, 1.0, 1e300, 2**53 + 1, 2**70, -(10**400)])
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "ab",
        "abc",
        "Ab c",
        "b",
        "hall",
        "Große Straße",
        "x" * 70,
        "x" * 70 + "y",
        "\U0010ffffa",
        "\ud800",
    ]
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.fixed_dictionaries({}, optional={"x": SCALARS})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={"x": VALUES, "y": SCALARS, "z": st.fixed_dictionaries({"x": VALUES}), "odd.name": SCALARS},
)
PATHS = st.sampled_from(["x", "y", "z.x", "x.0", "x.x", "id", "created_at"])
_LISTED = [Operator.IN, Operator.NIN]
_PLAIN = [each for each in Operator if each not in {*_LISTED, Operator.EXISTS}]
LEAVES = (
    st.builds(Filter, PATHS, st.sampled_from(_PLAIN), VALUES)
    | st.builds(Filter, PATHS, st.sampled_from(_LISTED), st.lists(VALUES, max_size=3))
    | st.builds(Filter, PATHS, st.just(Operator.EXISTS), st.booleans())
    | st.builds(Words, st.sampled_from(["a", "AB", "strasse gro", "x", "hall a", "-"]), st.just(("x", "z.x")))
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AllOf, st.lists(inner, max_size=2).map(tuple))
    ),
    max_leaves=4,
)
SORTS = st.lists(st.builds(Sort, PATHS, st.booleans()), max_size=2).map(tuple)


def expected_records(
    records: Sequence[Record],
    conditions: Sequence[Condition],
    sort: Sequence[Sort] = (),
    *,
    descending: bool = False,
) -> list[Record]:
    """The records, given in order of creation, that match; sorted."""
    found = [record for record in records if all(_met(record, condition) for condition in conditions)]
    if descending:
        found.reverse()
    for each in reversed(sort):  # sorts are stable, so the most important one comes last
        found.sort(key=partial(_place_in, each.field))
        if each.descending:
            found = _reversed_but_stable(found, each.field)
    return found


def _reversed_but_stable(records: list[Record], path: str) -> list[Record]:
    groups: list[list[Record]] = []
    for record in records:
        if groups and _place(_value(groups[-1][0], path)) == _place(_value(record, path)):
            groups[-1].append(record)
        else:
            groups.append([record])
    return [record for group in reversed(groups) for record in group]


def _place_in(path: str, record: Record) -> tuple[Any, ...]:
    return _place(_value(record, path))


def _met(record: Record, condition: Condition) -> bool:
    if isinstance(condition, AllOf):
        return all(_met(record, each) for each in condition.conditions)
    if isinstance(condition, AnyOf):
        return any(_met(record, each) for each in condition.conditions)
    if isinstance(condition, Words):
        there = " ".join(_texts(record, condition.fields))
        return bool(_words(condition.text)) and all(
            any(word.startswith(wanted) for word in _words(there)) for wanted in _words(condition.text)
        )
    value, wanted = _value(record, condition.field), condition.value
    if condition.operator == "exists":
        return (value is not NOTHING) is wanted
    if value is NOTHING:
        return False
    ordered: bool = _kind(value) == _kind(wanted) and _kind(value) in {"number", "text"}
    answers: dict[str, Callable[[], bool]] = {
        "eq": lambda: _same(value, wanted),
        "ne": lambda: not _same(value, wanted),
        "in": lambda: any(_same(value, each) for each in wanted),
        "nin": lambda: not any(_same(value, each) for each in wanted),
        "lt": lambda: ordered and value < wanted,
        "le": lambda: ordered and value <= wanted,
        "gt": lambda: ordered and value > wanted,
        "ge": lambda: ordered and value >= wanted,
        "prefix": lambda: ordered and isinstance(value, str) and value[: len(wanted)] == wanted,
        "contains": lambda: (
            any(_same(each, wanted) for each in value)
            if isinstance(value, list)
            else isinstance(value, str) and isinstance(wanted, str) and value.find(wanted) >= 0
        ),
    }
    return answers[condition.operator]()


def _value(record: Record, path: str) -> Any:
    if path in {"id", "created_at", "updated_at", "revision"}:
        return getattr(record, path)
    value: Any = record.data
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return NOTHING
    return value


def _kind(value: Any) -> str:
    if value is None or value is NOTHING or isinstance(value, bool | list | dict):
        return type(value).__name__
    return "text" if isinstance(value, str) else "number"


def _same(left: Any, right: Any) -> bool:
    return _canonical(left) == _canonical(right)


def _canonical(value: Any) -> str:
    """One text for equal JSON: -0.0, 0 and 0.0 are one number, as are 1 and 1.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    return json.dumps(value)


def _place(value: Any) -> tuple[Any, ...]:
    if _kind(value) == "number":
        return 1, value if abs(value) <= 2**64 else max(min(value, 10**308), -(10**308))
    return (2, value[:64]) if isinstance(value, str) else (0,)


def _texts(record: Record, fields: Sequence[str]) -> list[str]:
    values = [_value(record, field) for field in fields]
    return [
        each
        for value in values
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, str)
    ]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return [
        word[:32]
        for word in re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    ]
