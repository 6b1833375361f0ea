"""Records with what they are related to, some steps deep: bounded in depth, number and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError, TooLargeError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import Record
from edgehost.usecases.follow_relation import Relations, follow_relation, relation_of
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.show_record import shown

#: Steps from a record to the farthest that is included; models may refer to each other in circles.
MAX_INCLUDE_DEPTH: Final = 3
#: Relations named in one request, each step counted.
MAX_INCLUDED_PATHS: Final = 16
#: Included in one answer, beside the records themselves.
MAX_INCLUDED_RECORDS: Final = 1000
MAX_INCLUDED_BYTES: Final = 4 * 1024 * 1024
#: Of one relation of one record; the rest is asked for with the relation itself.
INCLUDED_PER_RELATION: Final = 100

Paths = Mapping[str, Any]


def read_include(model: LiveModel, text: str) -> Paths:
    """``customer,items.product`` as a tree of relations, each step checked where its model is known.

    Raises:
        InvalidQueryError: the paths are too many or too deep.
        NotFoundError: the model has no such relation.
    """
    tree: dict[str, Any] = {}
    paths = [path.strip() for path in text.split(",", MAX_INCLUDED_PATHS)]
    steps = 0
    for path in paths:
        names = path.split(".", MAX_INCLUDE_DEPTH)
        steps += len(names)
        if len(names) > MAX_INCLUDE_DEPTH:
            raise InvalidQueryError(
                f"include goes more than {MAX_INCLUDE_DEPTH} relations deep.", hint="Ask in two requests."
            )
        if len(paths) > MAX_INCLUDED_PATHS or steps > MAX_INCLUDED_PATHS:
            raise InvalidQueryError(f"include names more than {MAX_INCLUDED_PATHS} relations.")
        relation_of(model, names[0])
        below = tree
        for name in names:
            below = below.setdefault(name, {})
    return tree


async def include_relations(
    relations: Relations, model: LiveModel, records: Sequence[Record], include: Paths, *, asking: str = ""
) -> list[dict[str, Any]]:
    """The records as the network may see them, each with ``related``: by relation a record or null, or a list of records.

    Raises:
        TooLargeError: the answer would be too large.
        NotFoundError, NotGrantedError, GuestError: as for ``follow_relation``.
    """
    return await _Including(relations, asking).with_related(model, records, include)


@dataclass(slots=True)
class _Including:
    """One answer in the making, and what it may still hold."""

    relations: Relations
    asking: str
    records: int = MAX_INCLUDED_RECORDS
    bytes: int = MAX_INCLUDED_BYTES

    async def with_related(
        self, model: LiveModel, records: Sequence[Record], include: Paths
    ) -> list[dict[str, Any]]:
        """The records as the network may see them; relations are followed from what is stored."""
        documents = [record_document(each) for each in await shown(self.relations.keeping, model, records)]
        if include:
            for record, document in zip(records, documents, strict=True):
                document["related"] = {
                    name: await self._related(model, record, name, below) for name, below in include.items()
                }
        return documents

    async def _related(
        self, model: LiveModel, record: Record, name: str, below: Paths
    ) -> dict[str, Any] | list[dict[str, Any]] | None:
        found = await follow_relation(
            self.relations,
            model,
            record,
            name,
            asking=self.asking,
            limit=INCLUDED_PER_RELATION,
            most_bytes=max(1, self.bytes),
        )
        for each in found.records:
            self._spend(record_document(each))
        other = self.relations.models.table.by_name.get(found.model)
        if other is None:  # of another host, which has shown what it shows
            documents = [record_document(each) for each in found.records]
        else:
            documents = await self.with_related(other, found.records, below)
        if found.one:
            return documents[0] if documents else None
        return documents

    def _spend(self, document: Mapping[str, Any]) -> None:
        self.records -= 1
        self.bytes -= len(write_json(document))
        if self.records < 0 or self.bytes < 0:
            raise TooLargeError(
                f"What is to be included has more than {MAX_INCLUDED_RECORDS} records "
                f"or {MAX_INCLUDED_BYTES} bytes.",
                hint="Include fewer relations, or ask for fewer records at a time.",
            )
