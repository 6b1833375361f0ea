"""One collection for each model in a MongoDB-compatible database: prepared once, with a counter of places."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from edgehost.adapters.storage.mongo_documents import Document

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

#: Places taken at a time, so that a create does not ask twice; what a restart skips is no loss.
_PLACES: Final = 64
#: Before a model's name: 'order' is a word that servers built on SQL stumble over.
_RECORDS: Final = "records_"
_COUNTERS: Final = "counters"


class ModelCollections:
    """The collections of a database, by model."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._prepared: dict[str, AsyncCollection[Document]] = {}
        self._places: dict[str, list[int]] = {}
        self.odd: set[str] = set()  # models with documents that the server cannot look into

    def of(self, model: str) -> AsyncCollection[Document]:
        """The model's collection as it is, for reading what needs no index."""
        return self._database[_RECORDS + model]

    async def prepared(self, model: str) -> AsyncCollection[Document]:
        """The model's collection, with the indexes that every model has."""
        known = self._prepared.get(model)
        if known is not None:
            return known
        async with self._lock:
            collection = self.of(model)
            await collection.create_index([("place", 1)], unique=True)
            await collection.create_index([("key", 1)], sparse=True)
            await collection.create_index([("revision", 1)])
            if await collection.find_one({"raw": {"$exists": True}}) is not None:
                self.odd.add(model)
            self._prepared[model] = collection
        return collection

    async def next_place(self, model: str) -> int:
        """The next number in order of creation."""
        async with self._lock:
            places = self._places.setdefault(model, [])
            if not places:
                counter = await self._database[_COUNTERS].find_one_and_update(
                    {"_id": model}, {"$inc": {"top": _PLACES}}, upsert=True, return_document=True
                )
                assert counter is not None  # noqa: S101  it is made when it is not there
                top = int(counter["top"])
                places.extend(range(top, top - _PLACES, -1))
            return places.pop()
