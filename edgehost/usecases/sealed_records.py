"""A record store that encrypts what a model wants encrypted, and shows nobody what is hashed.

Rule 1: what is below here (the journal, its backups, another machine's database) never sees an encrypted
        member in clear.
Rule 2: what is above here never sees a hash, nor a ciphertext: both are in ``Record.withheld``, which goes back
        into the store with the next write.
Rule 3: a member that cannot be opened does not hide the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from edgehost.domain.errors import DamagedError, KeyLostError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.model_consistency import encrypted_members, hashed_members, opaque_members
from edgehost.domain.model_spec import ModelSpec, SerializerSpec
from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow
from edgehost.domain.record_query import Condition, QueryPlan, RecordPage, RecordQuery
from edgehost.ports.member_vault import MemberVault
from edgehost.ports.record_store import RecordStore
from edgehost.usecases.calling import current_call
from edgehost.usecases.convert_values import convert_values
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.record_keeping import ComponentCaller

#: Records of a scan that an export is asked about together.
_TOGETHER: Final = 64


class SealedRecords:
    """In front of another store; models without such members pass through untouched."""

    def __init__(
        self, inner: RecordStore, models: LiveModels, components: ComponentCaller, vault: MemberVault | None
    ) -> None:
        self._inner = inner
        self._models = models
        self._components = components
        self._vault = vault

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None."""
        record = await self._inner.get(model, record_id)
        return None if record is None else (await self._opened([record]))[0]

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record durably before returning.

        Raises:
            RevisionConflictError, StorageFullError: as for every store.
            UnavailableError: it has encrypted members and this host has no key; nothing was stored.
            GuestError: an export that writes a member for storage failed; nothing was stored.
        """
        await self._inner.put(await self._closed(record), expected_revision=expected_revision)

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record durably; False when there was none."""
        return await self._inner.delete(model, record_id, expected_revision=expected_revision)

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match."""
        page = await self._inner.find(query)
        return replace(page, records=tuple(await self._opened(page.records)))

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """How the query would be answered now."""
        return await self._inner.explain(query)

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created."""
        record = await self._inner.find_by_idempotency_key(model, key)
        return None if record is None else (await self._opened([record]))[0]

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match."""
        return await self._inner.count(model, filters)

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match."""
        return await self._inner.aggregate(query)

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters and sorting on this field by an index."""
        await self._inner.ensure_index(model, field)

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Answer full-text search of exactly these fields by an index, where the store can."""
        await self._inner.ensure_text_index(model, fields)

    async def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation."""
        live = self._guarded(model)
        if live is None:
            async for record in self._inner.scan(model):
                yield record
            return
        waiting: list[Record] = []
        async for record in self._inner.scan(model):
            waiting.append(record)
            if len(waiting) == _TOGETHER:
                for opened in await self._opened(waiting):
                    yield opened
                waiting = []
        for opened in await self._opened(waiting):
            yield opened

    def _guarded(self, model: str) -> LiveModel | None:
        """The model, when it has members that are stored in another form."""
        live = self._models.table.by_name.get(model)
        return live if live is not None and opaque_members(live.spec) else None

    async def _opened(self, records: Sequence[Record]) -> Sequence[Record]:
        live = self._guarded(records[0].model) if records else None
        if live is None:
            return records
        opened = [self._open_one(live.spec, record) for record in records]
        for serializer in _on_storage(live.spec):
            opened = await self._converted(live, serializer, serializer.read_export, opened)
        return opened

    async def _closed(self, record: Record) -> Record:
        live = self._guarded(record.model)
        if live is None:
            return record
        for serializer in _on_storage(live.spec):
            (record,) = await self._converted(live, serializer, serializer.export, [record])
        sealed = {
            member: self._sealed(record, member)
            for member in encrypted_members(live.spec)
            if member in record.data
        }
        # What is withheld comes first: a new value replaces what could not be shown.
        data = dict(chain(record.withheld.items(), record.data.items(), sealed.items()))
        return replace(record, data=data, withheld={}, unreadable={})

    def _open_one(self, spec: ModelSpec, record: Record) -> Record:
        data, withheld, unreadable = dict(record.data), {}, {}
        for member in hashed_members(spec) & data.keys():
            withheld[member] = data.pop(member)
        for member in encrypted_members(spec) & data.keys():
            if self._vault is not None and not self._vault.is_sealed(data[member]):
                continue  # stored before the model asked for encryption; the next write seals it
            try:
                data[member] = self._clear(record, member)
            except (DamagedError, KeyLostError) as error:
                withheld[member] = data.pop(member)
                unreadable[member] = error.message
        return replace(record, data=data, withheld=withheld, unreadable=unreadable)

    def _sealed(self, record: Record, member: str) -> str:
        if self._vault is None:
            raise UnavailableError(
                f"'{member}' of '{record.model}' is to be encrypted and this host has no key.",
                hint="Set [security] key_file.",
            )
        return self._vault.seal(write_json(record.data[member]), _about(record, member))

    def _clear(self, record: Record, member: str) -> Any:  # noqa: ANN401 - JSON
        about = _about(record, member)
        if self._vault is None:
            raise KeyLostError(f"{about} is encrypted and this host has no key.")
        return read_json(self._vault.open(record.data[member], about))

    async def _converted(
        self, live: LiveModel, serializer: SerializerSpec, export: str, records: Sequence[Record]
    ) -> list[Record]:
        key = serializer.key
        having = [record for record in records if key in record.data]
        if not having:
            return list(records)
        values = await convert_values(
            self._components,
            live.component,
            export,
            key,
            [record.data[key] for record in having],
            context=current_call(),
        )
        new = {record.id: value for record, value in zip(having, values, strict=True)}
        return [
            replace(record, data=_with(record.data, key, new[record.id])) if record.id in new else record
            for record in records
        ]


def _with(data: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    return {**data, key: value}


def _on_storage(spec: ModelSpec) -> tuple[SerializerSpec, ...]:
    return tuple(each for each in spec.serializers if each.on == "storage")


def _about(record: Record, member: str) -> str:
    return f"{record.model}/{record.id}/{member}"
