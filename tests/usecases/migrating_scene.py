"""A host's deployment rooms with records that change their form, on stores that fail when a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import (
    EdgehostError,
    StorageFullError,
)
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.record_schema import RecordSchema
from edgehost.domain.release_life import Release
from edgehost.usecases.create_record import create_record
from edgehost.usecases.kept_records import KeptRecords
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.migrate_records import RecordMigrations
from edgehost.usecases.record_keeping import RecordKeeping
from tests.usecases.deploy_scene import Scene

NEW = {"type": "object", "required": ["names"]}


class PowerCut(BaseException):
    """Nothing after this happens."""


class FragileRecords(MemoryRecords):
    """Records that survive, with a power cut or a full disk at one of the writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.cut_at = self.full_at = -1

    def _pass(self) -> None:
        self.writes += 1
        if self.writes == self.cut_at:
            raise PowerCut
        if self.writes == self.full_at:
            raise StorageFullError("The disk is full.")

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        self._pass()
        await super().put(record, expected_revision=expected_revision)

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        self._pass()
        return await super().delete(model, record_id, expected_revision=expected_revision)


class FragileShelf(MemoryShelf):
    """A shelf that counts its writes with the records'."""

    def __init__(self, records: FragileRecords) -> None:
        super().__init__()
        self.records = records

    async def record(self, *releases: Release) -> None:
        self.records._pass()
        await super().record(*releases)


class Served:
    """The model as it is served, and by which release."""

    def __init__(self) -> None:
        self.model: LiveModel | None = None

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        assert spec.model is not None
        self.model = LiveModel(spec.name, spec.version, digest, spec.model, RecordSchema(spec.model.schema))

    def withdraw(self, component: str) -> None:
        self.model = None


class Migrating(Scene):
    """A host's deployment rooms and records; another one on the same stores is the host after a restart."""

    def __init__(self, records: FragileRecords | None = None, shelf: MemoryShelf | None = None) -> None:
        self.records = records or FragileRecords()
        super().__init__(shelf or FragileShelf(self.records))
        self.served = Served()
        self.keeping = RecordKeeping(
            self.records,
            self.bus,
            self.clock,
            RevisionClock("here"),
            self.running,
            current=lambda model: self.served.model or model,
        )
        self.migrations = RecordMigrations(self.keeping, KeptRecords(self.records), self.served)
        self.deployer = replace(self.deployer, migrations=self.migrations, routes=self)
        self.events = self.bus.published
        self.answers = dict.fromkeys(("1.0.0", "2.0.0", "2.0.1", "3.0.0"), migrate)

    def require_free(self, spec: ComponentSpec) -> None:
        """Nobody else is here."""

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        self.served.serve(spec, digest=digest)

    def withdraw(self, component: str) -> None:
        self.served.withdraw(component)

    def stick(self, component: str, header: str) -> None:
        """No call here has a header."""

    @property
    def model(self) -> LiveModel:
        assert self.served.model is not None
        return self.served.model

    async def live(self, version: str, *, sequence: int = 1, **model: Any) -> Release:
        release = await self.shelve(
            "orders", version, sequence=sequence, model={"endpoint": "orders"} | model
        )
        return (await self.deployer.deploy(release)).release

    async def old(self, *names: str) -> None:
        """The first release, with these records."""
        await self.live("1.0.0")
        for name in names:
            await create_record(self.keeping, self.model, {"name": name}, record_id=name)

    async def waiting(self) -> Release:
        """The next release, on the shelf."""
        self.clock.pass_by(1)
        model = {"endpoint": "orders", "schema": NEW, "migrate": "migrate"}
        return await self.shelve("orders", "2.0.0", sequence=2, model=model)

    async def newer(self, version: str = "2.0.0", sequence: int = 2) -> Release:
        self.clock.pass_by(1)
        return await self.live(version, sequence=sequence, schema=NEW, migrate="migrate")

    async def data(self) -> dict[str, Mapping[str, Any]]:
        return {record.id: record.data async for record in self.records.scan("orders")}

    async def all_of(self) -> list[Record]:
        return [record async for record in self.records.scan("orders")]

    async def left_behind(self) -> list[str]:
        """Tables of kept records that still hold some."""
        return [
            name for name in self.records.models() if ".before-" in name and await self.records.count(name)
        ]

    async def restarted(self) -> Migrating:
        again = Migrating(self.records, self.shelf)  # type: ignore[arg-type]
        again.records.cut_at = again.records.full_at = -1
        await again.ledger.load()
        await again.migrations.recover(again.ledger.live, again.ledger.by_digest)
        live = again.ledger.live("orders")
        assert live is not None
        await again.deployer.start_live(live)
        return again


def migrate(function: str, payload: bytes) -> bytes:
    if function != "migrate":
        return b""
    question = json.loads(payload)
    return json.dumps({"data": {"names": [question["data"]["name"]]}}).encode()


def raising_for(name: str, error: EdgehostError) -> Callable[[str, bytes], bytes]:
    def answer(function: str, payload: bytes) -> bytes:
        if function == "migrate" and json.loads(payload)["data"]["name"] == name:
            raise error
        return migrate(function, payload)

    return answer


OLD_DATA = {name: {"name": name} for name in "abc"}
NEW_DATA = {name: {"names": [name]} for name in "abc"}
