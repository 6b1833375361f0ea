"""Relations between models, as declared by the model that has them.

The names are the seed's: ``foreignKey`` is ``foreign_key``, ``arrayKey`` is ``array_key``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgehost.domain.names import EXPORT, FIELD_PATH, NAME
from edgehost.domain.spec_reader import SpecReader


class RelationType(enum.StrEnum):
    """How many of the one belong to how many of the other."""

    ONE_TO_MANY = "one_to_many"  # theirs where their foreign_key is my key
    MANY_TO_ONE = "many_to_one"  # the one whose key is my foreign_key
    ONE_TO_ONE = "one_to_one"
    CONTAINS_MANY = "contains_many"  # those whose keys stand in the objects of my array_key
    MANY_TO_MANY = "many_to_many"  # those whose keys stand in my list foreign_key
    CUSTOM = "custom"  # an export of mine answers with a filter


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """One relation. Reading the other model needs its consent: see AccessSpec and grants.models."""

    model: str
    type: RelationType
    foreign_key: str = ""
    key: str = "id"
    array_key: str = ""
    export: str = ""  # custom: asked for the filter
    description: str = ""


def read_relations(table: SpecReader) -> dict[str, RelationSpec]:
    """The relations of a model, by name."""
    return {relation.name: _read_relation(relation) for relation in table.tables(pattern=NAME)}


def _read_relation(table: SpecReader) -> RelationSpec:
    relation = RelationSpec(
        model=table.text("model", pattern=NAME),
        type=RelationType(table.choice("type", RelationType)),
        foreign_key=table.text("foreign_key", pattern=FIELD_PATH, default=""),
        key=table.text("key", pattern=FIELD_PATH, default="id"),
        array_key=table.text("array_key", pattern=FIELD_PATH, default=""),
        export=table.text("export", pattern=EXPORT, default=""),
        description=table.text("description", default="", longest=500),
    )
    table.refuse_unknown()
    if relation.type is RelationType.CUSTOM and not relation.export:
        table.refuse("export", "is missing: a custom relation asks an export of the model.")
    if relation.type is not RelationType.CUSTOM and not relation.foreign_key:
        table.refuse("foreign_key", "is missing.", hint="Name the member that holds the other's key.")
    if relation.type is RelationType.CONTAINS_MANY and not relation.array_key:
        table.refuse("array_key", "is missing.", hint="Name the member that holds the list.")
    return relation
