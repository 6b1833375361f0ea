"""Encrypted and hashed members stay so while records change their form, and in what is kept of them."""

from __future__ import annotations

import json
import secrets
from typing import Any

from edgehost.adapters.crypto.aes_gcm import AesGcmVault
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.release_life import Release
from edgehost.usecases.kept_records import KeptRecords
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.migrate_records import RecordMigrations
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents
from edgehost.usecases.sealed_records import SealedRecords
from tests.usecases.deploy_scene import ScriptedPool, StillClock


def spec(version: str, **model: Any) -> ComponentSpec:
    properties = {"secret": {"encrypted": True}, "password": {"hashed": True}}
    return read_component_spec(
        {
            "name": "orders",
            "version": version,
            "kind": "model",
            "model": {"properties": properties} | model,
        }
    )


def migrate(_function: str, payload: bytes) -> bytes:
    data = json.loads(payload)["data"]
    assert "password" not in data
    return json.dumps({"data": {"secret": data["secret"] + " moved", "names": [data["name"]]}}).encode()


async def test_secrets_are_never_written_in_clear_and_come_through_a_migration_and_back() -> None:
    disk, models, running, clock = (
        MemoryRecords(),
        LiveModels(has_keys=True),
        RunningComponents(),
        StillClock(),
    )
    store = SealedRecords(disk, models, running, AesGcmVault([secrets.token_bytes(32)]))
    keeping = RecordKeeping(store, LocalEventBus(), clock, RevisionClock("here"), running)
    migrations = RecordMigrations(keeping, KeptRecords(disk), models)
    old, new = spec("1.0.0"), spec("2.0.0", migrate="migrate")
    models.serve(old, digest="a" * 64)
    revision = keeping.next_revision(clock.now())
    record = Record(
        "orders", "r", {"name": "n", "secret": "hush"}, revision, 1.0, 1.0, withheld={"password": "#"}
    )
    await store.put(record)
    stored = await disk.get("orders", "r")
    release = Release("orders", "2.0.0", "b" * 64, 0, 2, "test")
    pool = ScriptedPool(migrate, ("migrate",))
    async with migrations.moved(release, new, pool, before=old, last="1.0.0"):
        kept = [each async for each in disk.scan(KeptRecords.space("orders", release.digest))]
        assert [each.data for each in kept] == [stored.data if stored else None]
    found = await store.get("orders", "r")
    assert found is not None
    assert found.data == {"names": ["n"], "secret": "hush moved"}
    assert found.withheld == {"password": "#"}
    raw = await disk.get("orders", "r")
    assert raw is not None
    assert "hush" not in json.dumps(dict(raw.data))
    earlier = Release("orders", "1.0.0", "a" * 64, 0, 1, "test")
    async with migrations.moved(earlier, old, pool, before=new, last="2.0.0"):
        models.serve(old, digest="a" * 64)
    back = await store.get("orders", "r")
    assert back is not None
    assert back.data == record.data
    assert back.withheld == {"password": "#"}
    assert back.revision > found.revision
