"""Follow a relation from one record to those of another model, and create records at its other end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgehost.domain.component_spec import Grants
from edgehost.domain.errors import (
    ConflictError,
    EdgehostError,
    GuestProtocolError,
    InvalidQueryError,
    NotFoundError,
    RefusedError,
)
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.domain.record_conditions import member_of
from edgehost.domain.record_query import DEFAULT_PAGE, Condition, Operator, RecordQuery
from edgehost.domain.relation_query import (
    Key,
    data_of_related,
    data_with_other,
    key_of_other,
    leads_to_one,
    related_filter,
)
from edgehost.domain.relation_spec import RelationSpec, RelationType
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask
from edgehost.usecases.create_record import create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.find_instance import ObjectBroker
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.query_records import MAX_PAGE_BYTES, make_query
from edgehost.usecases.read_conditions import read_conditions
from edgehost.usecases.record_keeping import RecordKeeping, record_document
from edgehost.usecases.relation_consent import require_consent
from edgehost.usecases.update_record import change_record


@dataclass(frozen=True, slots=True)
class Relations:
    """What following relations needs of the host."""

    keeping: RecordKeeping
    models: LiveModels
    broker: ObjectBroker
    grants_of: Callable[[str], Grants]  # of a live component; raises NotFoundError


@dataclass(frozen=True, slots=True)
class RelatedRecords:
    """The records at the other end; ``one`` when there can be one at most."""

    model: str
    records: tuple[Record, ...]
    next_cursor: str = ""
    one: bool = False


async def follow_relation(
    relations: Relations,
    model: LiveModel,
    record: Record,
    name: str,
    *,
    asking: str = "",
    limit: int = DEFAULT_PAGE,
    cursor: str = "",
    most_bytes: int = MAX_PAGE_BYTES,
    context: CallContext = CallContext(),
) -> RelatedRecords:
    """One page of the records that the relation leads to, in order of creation.

    ``asking`` is the component on whose behalf; empty: the one that declares the relation.

    Raises:
        NotFoundError: the model has no such relation, or the other model is nowhere.
        NotGrantedError: one of the two components does not agree.
        InvalidQueryError: the cursor or the limit is wrong, or the record names too many others.
        GuestError: a custom relation's export failed.
    """
    relation = relation_of(model, name)
    one = leads_to_one(relation)
    if one and not relations.broker.is_local(relation.model):
        return RelatedRecords(relation.model, await _elsewhere(relations, relation, record), one=True)
    target = _permitted_target(relations, model, relation, asking)
    conditions = await _conditions(relations, model, record, name, target=target, context=context)
    if conditions is None:
        return RelatedRecords(relation.model, (), one=one)
    checked = make_query(target, (), limit=limit, cursor=cursor)
    page = await relations.keeping.store.find(
        RecordQuery(
            target.spec.name,
            conditions,
            limit=1 if one else checked.limit,
            after="" if one else checked.after,
            most_bytes=most_bytes,
        )
    )
    return RelatedRecords(relation.model, page.records, "" if one else page.next_cursor, one)


async def create_related(
    relations: Relations,
    model: LiveModel,
    record: Record,
    name: str,
    data: Mapping[str, Any],
    *,
    asking: str = "",
    record_id: str = "",
    context: CallContext = CallContext(),
) -> Record:
    """A new record at the other end of the relation, and the reference to it, on whichever side that stands.

    Raises:
        NotFoundError, NotGrantedError: as for ``follow_relation``.
        ConflictError: the relation leads to one record, and there is one.
        RefusedError: the relation is custom: nobody knows what would make a record part of it.
        InvalidRecordError, GuestError: one of the two records does not fit; nothing stays behind.
    """
    relation = relation_of(model, name)
    target = _permitted_target(relations, model, relation, asking)
    if relation.type is RelationType.CUSTOM:
        raise RefusedError(
            f"'{name}' is a custom relation; records are not created across it.",
            hint="Create the record itself.",
        )
    if leads_to_one(relation):
        there = await follow_relation(relations, model, record, name, asking=asking, context=context)
        if there.records:
            raise ConflictError(
                f"'{record.id}' is related to '{there.records[0].id}' by '{name}' already.",
                hint="Change that record, or take the reference out first.",
            )
    made = await create_record(
        relations.keeping,
        target,
        data_of_related(relation, record, data),
        record_id=record_id,
        context=context,
    )
    if relation.type is not RelationType.ONE_TO_MANY:
        try:
            key = key_of_other(relation, made.record)
            refer = _reference(relation, record, key)
            await change_record(relations.keeping, model, record.id, refer, context=context)
        except EdgehostError:
            with suppress(EdgehostError):  # the first error is the one to tell
                await delete_record(relations.keeping, target, made.record.id, context=context)
            raise
    return made.record


def relation_of(model: LiveModel, name: str) -> RelationSpec:
    """The relation that the model declares.

    Raises:
        NotFoundError: it declares none of this name.
    """
    relation = model.spec.relations.get(name)
    if relation is None:
        raise NotFoundError(
            f"'{model.spec.endpoint}' has no relation '{name[:80]}'.",
            hint=did_you_mean(name[:80], model.spec.relations),
        )
    return relation


def _permitted_target(
    relations: Relations, model: LiveModel, relation: RelationSpec, asking: str
) -> LiveModel:
    target = relations.models.table.named(relation.model)
    component = asking or model.component
    require_consent(component, relations.grants_of(component), target)
    return target


async def _conditions(
    relations: Relations,
    model: LiveModel,
    record: Record,
    name: str,
    *,
    target: LiveModel,
    context: CallContext,
) -> tuple[Condition, ...] | None:
    relation = relation_of(model, name)
    if relation.type is not RelationType.CUSTOM:
        condition = related_filter(relation, record)
        return None if condition is None else (condition,)
    question = {"relation": name, "id": record.id, "record": record_document(record)}
    answer = await ask(
        relations.keeping, model, relation.export, question, context=context, members={"filters"}
    )
    if "filters" not in answer:
        return None
    try:
        return read_conditions(target, answer["filters"])
    except InvalidQueryError as error:
        relations.keeping.components.blame(model.component)
        raise GuestProtocolError(
            f"'{relation.export}' of '{model.component}' answered with filters that '{target.spec.name}' does "
            f"not have. {error.message}",
            hint="See the table of exports in the guest libraries' README.",
        ) from None


def _reference(
    relation: RelationSpec, record: Record, key: Key
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    def refer(mine: Mapping[str, Any]) -> Mapping[str, Any]:
        if leads_to_one(relation):
            before, now = (member_of(data, relation.foreign_key) for data in (record.data, mine))
            if now is not before and now != before:
                raise ConflictError(
                    f"'{record.id}' got another '{relation.foreign_key}' in the meantime.",
                    hint="Read it again, then decide.",
                )
        return data_with_other(relation, mine, key)

    return refer


async def _elsewhere(relations: Relations, relation: RelationSpec, record: Record) -> tuple[Record, ...]:
    condition = related_filter(relation, record)
    if condition is None:
        return ()
    if relation.key != "id" or condition.operator is not Operator.EQ:
        raise NotFoundError(
            f"No model '{relation.model}' is live here.", hint="Records elsewhere are found by their id only."
        )
    if not isinstance(condition.value, str) or not ID_PATTERN.fullmatch(condition.value):
        return ()
    found = await relations.broker.find(relation.model, condition.value)
    return () if found is None else (found,)
