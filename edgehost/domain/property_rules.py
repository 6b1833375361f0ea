"""What a model's properties demand of a record, as far as the record alone can tell.

Nothing here is asked of a store or a guest: unique, computed, updated, hashed and encrypted are their business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError
from edgehost.domain.named_patterns import fits_pattern
from edgehost.domain.property_spec import NAMED_PATTERNS, Condition, PropertySpec

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Before:
    """The record as it is stored: what is shown of it, and the members that nobody sees."""

    data: Mapping[str, Any]
    withheld: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The record as it shall be; ``kept`` are the members that nobody sees and that stay as they are."""

    data: Mapping[str, Any]
    kept: Collection[str] = field(default=())


def require_rules(properties: Mapping[str, PropertySpec], wanted: Wanted, before: Before | None) -> None:
    """Check a record against the model's properties.

    Raises:
        InvalidRecordError: it breaks some of them; ``problems`` names each.
    """
    problems = tuple(
        (f"/{member}", what)
        for member, spec in properties.items()
        for what in _problems(member, spec, wanted, before)
    )
    if problems:
        raise InvalidRecordError(
            f"The data breaks a rule of its model: {problems[0][0]} {problems[0][1]}.",
            hint="See 'problems' and the model's properties.",
            problems=problems,
        )


def holds(condition: Condition, data: Mapping[str, Any]) -> bool:
    """Whether the field has one of the values; a condition without a field always holds."""
    if not condition.field:
        return True
    value: Any = data
    for step in condition.field.split("."):
        value = value.get(step, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value is not _ABSENT and any(_same(value, each) for each in condition.values)


def changed_members(properties: Mapping[str, PropertySpec], wanted: Wanted, before: Before) -> frozenset[str]:
    """The declared members whose value would become another one."""
    return frozenset(member for member in properties if _changes(member, wanted, before))


def _problems(member: str, spec: PropertySpec, wanted: Wanted, before: Before | None) -> Iterator[str]:
    value = wanted.data.get(member)
    there = value is not None or member in wanted.kept
    if spec.required is not None and not there and holds(spec.required, wanted.data):
        yield f"is missing{_when(spec.required)}"
    if spec.pattern and value is not None and not fits_pattern(spec.pattern, value):
        kind = (
            f"a valid {spec.pattern}" if spec.pattern in NAMED_PATTERNS else f"a text like {spec.pattern!r}"
        )
        yield f"is not {kind}"
    if before is None or not _changes(member, wanted, before):
        return
    if spec.frozen is not None and holds(spec.frozen, before.data):
        yield f"cannot change any more{_when(spec.frozen)}"
    if spec.transitions:
        yield from _transition_problems(spec, before.data.get(member), value)


def _transition_problems(spec: PropertySpec, old: object, new: object) -> Iterator[str]:
    if old is None:
        return  # a first value: which, the schema says
    allowed = spec.transitions.get(_word(old), ())
    if _word(new) not in allowed:
        possible = ", ".join(allowed) or "nothing"
        yield f"cannot become {_word(new)[:80]!r}: after {_word(old)[:80]!r} comes {possible}"


def _changes(member: str, wanted: Wanted, before: Before) -> bool:
    if member in before.withheld:
        return member not in wanted.kept
    new, old = wanted.data.get(member, _ABSENT), before.data.get(member, _ABSENT)
    if new is _ABSENT or old is _ABSENT:
        return new is not old
    return not _same(new, old)


def _same(left: object, right: object) -> bool:
    """Whether both mean the same: true is not 1, 1.0 is, and the order of members is nothing."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def _word(value: object) -> str:
    """A value as a key of ``transitions``, which TOML has as texts."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _when(condition: Condition) -> str:
    if not condition.field:
        return ""
    values = " or ".join(_word(value) for value in condition.values)
    return f" when {condition.field} is {values}"
