"""Records in a MongoDB-compatible database, shared or far away.

One collection per model, ``records_MODEL``; ``place`` numbers the records in order of creation. One host writes to a database: others
may read it, but would create records behind this host's cursors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from edgehost.adapters.storage.document_codec import MAX_DOCUMENT_BYTES
from edgehost.adapters.storage.indexed_records import require_revision
from edgehost.adapters.storage.mongo_collections import ModelCollections
from edgehost.adapters.storage.mongo_documents import (
    Document,
    from_document,
    served_field,
    server_path,
    superset_filter,
    to_document,
)
from edgehost.adapters.storage.mongo_failures import told_plainly
from edgehost.adapters.storage.record_codec import MODEL_PATTERN
from edgehost.adapters.storage.write_turns import WriteTurns
from edgehost.domain.errors import RevisionConflictError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow, Aggregation
from edgehost.domain.record_conditions import matches
from edgehost.domain.record_order import OrderedPlaces, PageInTheMaking, Place, place_after, place_of
from edgehost.domain.record_query import (
    Condition,
    PlanKind,
    QueryPlan,
    RecordPage,
    RecordQuery,
    require_conditions,
    require_query,
)

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

#: Documents in one answer of the server; a record has 1 MiB at most.
_BATCH: Final = 128
#: Operations in flight; the rest waits its turn.
MAX_CONNECTIONS: Final = 16


class MongoRecords:
    """A RecordStore on a server; made by ``open_mongo_records``."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._collections = ModelCollections(database)
        self._turns = WriteTurns()
        self._indexed: dict[str, set[str]] = {}

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None."""
        with told_plainly():
            known = _can_be(model) and ID_PATTERN.fullmatch(record_id)
            document = await self._collections.of(model).find_one({"_id": record_id}) if known else None
        return None if document is None else from_document(model, document)

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record on a majority of the servers, journalled, before returning.

        Raises:
            RevisionConflictError: another revision is stored; nothing was changed.
            StorageFullError: the server's disk is full.
            UnavailableError: no server answers; what was under way may be stored or not.
            InvalidRecordError, TooLargeError: the record cannot be stored.
        """
        document = to_document(record, limit_bytes=MAX_DOCUMENT_BYTES)
        async with self._turns.turn(record.model, record.id):
            with told_plainly():
                await self._put(record, document, expected_revision)

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record; False when there was none.

        Raises:
            RevisionConflictError, UnavailableError: as for put.
        """
        if not _can_be(model) or not ID_PATTERN.fullmatch(record_id):
            return False
        known = {"_id": record_id}
        if expected_revision is not None:
            known["revision"] = expected_revision
        async with self._turns.turn(model, record_id):
            with told_plainly():
                collection = await self._collections.prepared(model)
                outcome = await collection.delete_one(known)
                gone = outcome.deleted_count or await collection.find_one({"_id": record_id}) is None
                if expected_revision is not None and not gone:
                    await self._refuse(collection, record_id, expected_revision)
        return bool(outcome.deleted_count)

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match.

        A sorted page looks at every record that the other conditions leave: the server's order is another.

        Raises:
            InvalidQueryError: a bound is passed, or the cursor is not one of this query's.
            UnavailableError: no server answers.
        """
        require_query(query)
        after = place_after(query)
        page = PageInTheMaking(query)
        if query.sort:
            return await self._sorted_page(query, after, page)
        begin = None if after is None else after.created
        matching = self._matching(query.model, query.filters, begin, descending=query.descending)
        async with aclosing(matching) as found:
            async for place, record in found:
                if page.is_over():
                    break
                page.add(Place((), place), record, _size_of(record, query))
        return page.finished()

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """What the server is asked for: which of the declared indexes serves."""
        require_query(query)
        indexed = frozenset({"id", *self._indexed.get(query.model, ())})
        total = await self.count(query.model)
        fields = [field for each in query.filters if (field := served_field(each, indexed))]
        kind = PlanKind.SCAN if total else PlanKind.NOTHING
        if fields and total:
            kind = PlanKind.ID if fields[0] == "id" else PlanKind.INDEX
        return QueryPlan(kind, tuple(fields[:1]), total, bool(query.sort))

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created; the earliest, should there be several."""
        if not key or not _can_be(model):
            return None
        with told_plainly():
            collection = await self._collections.prepared(model)
            document = await collection.find_one({"key": key}, sort=[("place", 1)])
        return None if document is None else from_document(model, document)

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match."""
        require_conditions(filters)
        if not filters:
            with told_plainly():
                return await self._collections.of(model).count_documents({}) if _can_be(model) else 0
        found = 0
        async with aclosing(self._matching(model, filters, None)) as matching:
            async for _ in matching:
                found += 1
        return found

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match, added up here: exact, and the same as on every other store."""
        aggregation = Aggregation(query)
        async with aclosing(self._matching(query.model, query.filters, None)) as matching:
            async for _, record in matching:
                aggregation.add(record)
        return aggregation.rows()

    async def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation, as it stood a moment before."""
        async with aclosing(self._matching(model, (), None)) as matching:
            async for _, record in matching:
                yield record

    async def ensure_index(self, model: str, field: str) -> None:
        """Have the server answer filters on this field by an index."""
        path = server_path(field)
        if path is None or path == "_id" or field in self._indexed.get(model, ()):
            return
        with told_plainly():
            collection = await self._collections.prepared(model)
            await collection.create_index([(path, 1), ("place", 1)])
        self._indexed.setdefault(model, set()).add(field)

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Nothing: a server's words are not ours. Searches look at every record."""

    async def newest_revision(self, model: str) -> str:
        """The greatest revision that is stored; empty without records."""
        with told_plainly():
            collection = await self._collections.prepared(model)
            newest = await collection.find_one({}, sort=[("revision", -1)])
        return "" if newest is None else str(newest["revision"])

    async def _put(self, record: Record, document: Document, expected_revision: str | None) -> None:
        collection = await self._collections.prepared(record.model)
        if "raw" in document:
            self._collections.odd.add(record.model)
        if expected_revision == "":
            await self._insert(collection, record, document)
        elif expected_revision is None:
            change = _change(document) | {
                "$setOnInsert": {"place": await self._collections.next_place(record.model)}
            }
            await collection.update_one({"_id": record.id}, change, upsert=True)
        else:
            known = {"_id": record.id, "revision": expected_revision}
            outcome = await collection.update_one(known, _change(document))
            if not outcome.matched_count:
                await self._refuse(collection, record.id, expected_revision)

    async def _insert(
        self, collection: AsyncCollection[Document], record: Record, document: Document
    ) -> None:
        from pymongo.errors import DuplicateKeyError  # noqa: PLC0415  an extra

        try:
            await collection.insert_one(
                {**document, "place": await self._collections.next_place(record.model)}
            )
        except DuplicateKeyError:
            await self._refuse(collection, record.id, "")

    async def _refuse(self, collection: AsyncCollection[Document], record_id: str, expected: str) -> None:
        stored = await collection.find_one({"_id": record_id})
        require_revision(record_id, "" if stored is None else stored["revision"], expected)
        raise RevisionConflictError(
            f"{record_id} changed at the same time.", hint="Read it again, then decide."
        )

    async def _matching(
        self, model: str, conditions: Sequence[Condition], after: int | None, *, descending: bool = False
    ) -> AsyncGenerator[tuple[int, Record], None]:
        """Every match beyond ``after`` in order of creation, batch by batch."""
        if not _can_be(model):
            return
        superset = superset_filter(conditions)
        with told_plainly():
            collection = await self._collections.prepared(model)
        if superset is not None and model in self._collections.odd:
            superset = {"$or": [superset, {"raw": {"$exists": True}}]}
        while True:
            beyond = {} if after is None else {"place": {"$lt" if descending else "$gt": after}}
            wanted: Mapping[str, Any] = (
                {"$and": [superset, beyond]} if superset and beyond else superset or beyond
            )
            with told_plainly():
                cursor = collection.find(wanted).sort("place", -1 if descending else 1).limit(_BATCH)
                documents = await cursor.to_list()
            for document in documents:
                record = from_document(model, document)
                if matches(record, conditions):
                    yield int(document["place"]), record
            if len(documents) < _BATCH:
                return
            after = int(documents[-1]["place"])

    async def _sorted_page(
        self, query: RecordQuery, after: Place | None, page: PageInTheMaking
    ) -> RecordPage:
        places = OrderedPlaces(query, after)
        ids: dict[int, str] = {}
        async with aclosing(self._matching(query.model, query.filters, None)) as matching:
            async for created, record in matching:
                if places.offer(place_of(record, created, query.sort)):
                    ids[created] = record.id
                if len(ids) > 2 * query.limit + 600:  # more than the places that are kept
                    kept = {place.created for place in places.first()}
                    ids = {created: ids[created] for created in kept}
        for place in places.first():
            if page.is_over():
                break
            found = await self.get(query.model, ids[place.created])
            if found is not None:
                page.add(place, found, _size_of(found, query))
        return page.finished()


@asynccontextmanager
async def open_mongo_records(
    url: str, *, database: str = "edgehost", timeout_s: float = 5.0
) -> AsyncIterator[MongoRecords]:
    """Records behind this URL; connects when it is needed, and again when it is lost.

    Raises:
        InvalidConfigError: the URL is none, or the extra 'mongo' is not installed.
    """
    client = _make_client(url, timeout_s)
    try:
        yield MongoRecords(client[database])
    finally:
        await client.close()


def _make_client(url: str, timeout_s: float) -> Any:  # noqa: ANN401  the extra's type
    from edgehost.adapters.storage.mongo_client import make_client  # noqa: PLC0415  an extra

    return make_client(url, timeout_s, MAX_CONNECTIONS)


def _change(document: Document) -> Document:
    """The update that makes a stored document this one, and keeps its place."""
    kept = {name: value for name, value in document.items() if name != "_id"}
    gone = {name: "" for name in ("key", "digest", "data", "raw") if name not in document}
    return {"$set": kept, "$unset": gone}


def _can_be(model: str) -> bool:
    """Whether records of this model can be stored: other names are no collection of ours."""
    return bool(MODEL_PATTERN.fullmatch(model))


def _size_of(record: Record, query: RecordQuery) -> int:
    return len(write_json(record.data)) if query.most_bytes else 0
