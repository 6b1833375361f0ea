"""Which records a relation leads to, as conditions on the other model; and what a new one must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError, InvalidRecordError
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.domain.record_conditions import MISSING, field_of, member_of
from edgehost.domain.record_query import MAX_VALUES, Filter, Operator
from edgehost.domain.relation_spec import RelationSpec, RelationType

#: What can be a key; null and truth values relate nothing.
Key = str | int | float

_TO_ONE: Final = frozenset({RelationType.MANY_TO_ONE, RelationType.ONE_TO_ONE})


def leads_to_one(relation: RelationSpec) -> bool:
    """Whether there is one record at most at the other end."""
    return relation.type in _TO_ONE


def related_filter(relation: RelationSpec, record: Record) -> Filter | None:
    """The condition on the other model; None when the record relates to nothing.

    Raises:
        InvalidQueryError: the record names more others than are followed.
    """
    match relation.type:
        case RelationType.ONE_TO_MANY:
            mine = _key(field_of(record, relation.key))
            return None if mine is None else Filter(relation.foreign_key, Operator.EQ, mine)
        case RelationType.MANY_TO_ONE | RelationType.ONE_TO_ONE:
            theirs = _key(member_of(record.data, relation.foreign_key))
            return None if theirs is None else Filter(relation.key, Operator.EQ, theirs)
        case RelationType.CONTAINS_MANY:
            objects = _listed(record, relation.array_key)
            return _one_of(relation, [member_of(each, relation.foreign_key) for each in objects])
        case RelationType.MANY_TO_MANY:
            return _one_of(relation, _listed(record, relation.foreign_key))
        case RelationType.CUSTOM:
            raise InvalidQueryError("A custom relation is answered by its export.")


def key_of_other(relation: RelationSpec, other: Record) -> Key:
    """What the record at the other end is called in ours.

    Raises:
        InvalidRecordError: it lacks its key.
    """
    key = _key(field_of(other, relation.key))
    if key is None:
        raise InvalidRecordError(
            f"The related record '{other.id}' has no '{relation.key}' that could name it.",
            hint="Give it a text or a number there.",
        )
    return key


def data_of_related(relation: RelationSpec, record: Record, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of a new record at the other end; of one to many it names ours.

    Raises:
        InvalidRecordError: ours lacks its key, or the data names another.
    """
    if relation.type is not RelationType.ONE_TO_MANY:
        return data
    mine = _key(field_of(record, relation.key))
    if mine is None:
        raise InvalidRecordError(f"The record '{record.id}' has no '{relation.key}' to be referred to by.")
    named = member_of(data, relation.foreign_key)
    if named is not MISSING and named != mine:
        raise InvalidRecordError(
            f"'{relation.foreign_key}' names another record.", hint="Leave it out: the relation fills it in."
        )
    return with_member(data, relation.foreign_key, mine)


def data_with_other(relation: RelationSpec, data: Mapping[str, Any], key: Key) -> Mapping[str, Any]:
    """Our data, once the other record exists: it refers to it by its key."""
    match relation.type:
        case RelationType.MANY_TO_ONE | RelationType.ONE_TO_ONE:
            return with_member(data, relation.foreign_key, key)
        case RelationType.CONTAINS_MANY:
            listed = _list_in(data, relation.array_key)
            return with_member(
                data, relation.array_key, [*listed, with_member({}, relation.foreign_key, key)]
            )
        case RelationType.MANY_TO_MANY:
            listed = _list_in(data, relation.foreign_key)
            return data if key in listed else with_member(data, relation.foreign_key, [*listed, key])
        case _:
            return data


def with_member(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON value
    """The data with this value at a dotted path; objects on the way are made."""
    step, _, rest = path.partition(".")
    inner = data.get(step)
    below = with_member(inner if isinstance(inner, Mapping) else {}, rest, value) if rest else value
    return {**data, step: below}


def _one_of(relation: RelationSpec, values: list[Any]) -> Filter | None:
    keys = list(dict.fromkeys(key for value in values if (key := _key(value)) is not None))
    if relation.key == "id":
        keys = [key for key in keys if isinstance(key, str) and ID_PATTERN.fullmatch(key)]
    if len(keys) > MAX_VALUES:
        raise InvalidQueryError(
            f"The record names {len(keys)} others; {MAX_VALUES} are followed.",
            hint="Let the others name this one: declare one_to_many.",
        )
    return Filter(relation.key, Operator.IN, keys) if keys else None


def _key(value: object) -> Key | None:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _listed(record: Record, path: str) -> list[Any]:
    listed = member_of(record.data, path)
    return listed if isinstance(listed, list) else []


def _list_in(data: Mapping[str, Any], path: str) -> list[Any]:
    listed = member_of(data, path)
    return listed if isinstance(listed, list) else []
