"""Which index answers a query best."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edgehost.adapters.storage.field_index import Candidates, FieldIndex, in_creation_order
from edgehost.domain.record_query import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Operator,
    PlanKind,
    QueryPlan,
    RecordQuery,
    Words,
)

#: So many documents are sorted at once without the loop noticing.
_FEW: Final = 5000
#: Looking at every record in order costs less than sorting a large part of them.
_SHARE: Final = 4
#: Matches that are sorted rather than met while walking along an index.
_FEW_TO_SORT = 500  # tests lower it


class Indexes(Protocol):
    """What a planner asks of the indexes of one model."""

    @property
    def documents(self) -> Collection[int]:
        """All of them."""
        ...

    def doc_id(self, record_id: str) -> int | None:
        """The document that holds the record."""
        ...

    def field(self, path: str) -> FieldIndex | None:
        """The complete index of a field."""
        ...

    def words(self, condition: Words) -> Candidates | None:
        """What full-text search finds."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What to look at: some documents, an index in order, or everything; valid until the loop turns."""

    plan: QueryPlan
    candidates: Candidates | None = None
    walk: FieldIndex | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    kind: PlanKind
    fields: tuple[str, ...]
    candidates: Candidates


def plan_query(indexes: Indexes, query: RecordQuery) -> Planned:
    """The cheapest way to the query's page."""
    total = len(indexes.documents)
    choice = _best_of_all(indexes, query.filters)
    sorts = bool(query.sort)
    if choice is not None:
        size = len(choice.candidates)
        kind = choice.kind if size else PlanKind.NOTHING
        if size <= _FEW_TO_SORT or (not sorts and (size <= _FEW or size * _SHARE <= total)):
            return Planned(QueryPlan(kind, choice.fields, size, sorts), choice.candidates)
    if sorts:
        walk = indexes.field(query.sort[0].field)
        if walk is not None and (
            choice is None or choice.fields == (walk.path,) or len(choice.candidates) * _SHARE > total
        ):
            return Planned(QueryPlan(PlanKind.ORDER, (walk.path,), total, len(query.sort) > 1), walk=walk)
        if choice is not None and len(choice.candidates) * 2 <= total:
            size = len(choice.candidates)
            return Planned(QueryPlan(choice.kind, choice.fields, size, sorts=True), choice.candidates)
        if walk is not None:
            return Planned(QueryPlan(PlanKind.ORDER, (walk.path,), total, len(query.sort) > 1), walk=walk)
    return Planned(QueryPlan(PlanKind.SCAN if total else PlanKind.NOTHING, (), total, sorts))


def exact_count(indexes: Indexes, conditions: Sequence[Condition]) -> int | None:
    """How many records match, when an index alone can tell."""
    if len(conditions) != 1:
        return len(indexes.documents) if not conditions else None
    choice = _best(indexes, conditions[0])
    return len(choice.candidates) if choice is not None and choice.candidates.exact else None


def _best_of_all(indexes: Indexes, conditions: Sequence[Condition]) -> _Choice | None:
    best: _Choice | None = None
    for condition in conditions:
        choice = _best(indexes, condition)
        if choice is not None and (best is None or len(choice.candidates) < len(best.candidates)):
            best = choice
    return best


def _best(indexes: Indexes, condition: Condition) -> _Choice | None:
    match condition:
        case Words():
            found = indexes.words(condition)
            return None if found is None else _Choice(PlanKind.TEXT, condition.fields, found)
        case AllOf():
            best = _best_of_all(indexes, condition.conditions)
            return None if best is None else _Choice(best.kind, best.fields, _Union([best.candidates]))
        case AnyOf():
            return _union(indexes, condition.conditions)
        case Filter(operator=Operator.IN):
            each = [Filter(condition.field, Operator.EQ, value) for value in condition.value]
            return _union(indexes, each)
        case Filter(field="id", operator=Operator.EQ):
            doc_id = indexes.doc_id(condition.value) if isinstance(condition.value, str) else None
            return _Choice(PlanKind.ID, ("id",), _Some([] if doc_id is None else [doc_id]))
        case Filter():
            index = indexes.field(condition.field)
            candidates = index.candidates(condition) if index else None
            return None if candidates is None else _Choice(PlanKind.INDEX, (condition.field,), candidates)


def _union(indexes: Indexes, conditions: Sequence[Condition]) -> _Choice | None:
    """Candidates of each condition together; one without an index spoils it."""
    choices: list[_Choice] = []
    for condition in conditions:
        choice = _best(indexes, condition)
        if choice is None:
            return None
        choices.append(choice)
    kinds = {choice.kind for choice in choices}
    fields = tuple(dict.fromkeys(field for choice in choices for field in choice.fields))
    kind = kinds.pop() if len(kinds) == 1 else PlanKind.INDEX
    return _Choice(kind, fields, _Union([choice.candidates for choice in choices]))


class _Some:
    """Documents by name."""

    exact = True

    def __init__(self, doc_ids: list[int]) -> None:
        self._doc_ids = doc_ids

    def __len__(self) -> int:
        return len(self._doc_ids)

    def doc_ids(self, after: int | None, *, descending: bool, enough: int) -> list[int]:  # noqa: ARG002  as in Candidates
        return in_creation_order(self._doc_ids, after, descending=descending)


class _Union:
    """All of several; those in more than one count more than once."""

    exact = False

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts
        self._size = sum(map(len, parts))

    def __len__(self) -> int:
        return self._size

    def doc_ids(self, after: int | None, *, descending: bool, enough: int) -> list[int]:
        found: set[int] = set()
        for part in self._parts:
            found.update(part.doc_ids(after, descending=descending, enough=max(enough, len(part))))
        return in_creation_order(list(found), None, descending=descending)
