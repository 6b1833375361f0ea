"""Records go from one release's form to another's: all of them or none, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextvars
import json
from dataclasses import replace
from typing import Any

import pytest

from edgehost.domain.errors import EdgehostError, GuestFailedError, GuestTrapError, IncompatibleReleaseError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic_events import MigrationRefused, RecordsMigrated
from edgehost.usecases.create_record import create_record
from edgehost.usecases.roll_back_release import roll_back
from edgehost.usecases.update_record import update_record
from tests.usecases.migrating_scene import (
    NEW,
    NEW_DATA,
    OLD_DATA,
    Migrating,
    PowerCut,
    raising_for,
)


async def test_every_record_has_its_new_form_before_the_release_takes_a_call() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    before = {record.id: record for record in await scene.all_of()}
    await scene.newer()
    assert await scene.data() == NEW_DATA
    for record in await scene.all_of():
        assert record.revision > before[record.id].revision
        assert record.updated_at == before[record.id].updated_at
    (told,) = [event for event in scene.events if isinstance(event, RecordsMigrated)]
    assert (told.from_version, told.version, told.count, told.how) == ("1.0.0", "2.0.0", 3, "migrate")


@pytest.mark.parametrize(
    "error", [GuestFailedError("It has no new form."), GuestTrapError("unreachable"), None]
)
async def test_a_refusal_or_a_trap_leaves_the_old_release_live_and_every_record_as_it_was(
    error: EdgehostError | None,
) -> None:
    scene = Migrating()
    await scene.old(*"abc")
    before = await scene.all_of()
    wrong = raising_for("b", error) if error else lambda _function, _payload: b'{"data":{"name":"no names"}}'
    scene.answers["2.0.0"] = wrong
    with pytest.raises(IncompatibleReleaseError, match=r"no form for the record '[abc]' of 1\.0\.0"):
        await scene.newer()
    assert await scene.all_of() == before
    live = scene.ledger.live("orders")
    assert live is not None
    assert live.version == "1.0.0"
    assert scene.ledger.named("orders", "2.0.0").stage is Stage.QUARANTINED
    assert await scene.left_behind() == []
    (told,) = [event for event in scene.events if isinstance(event, MigrationRefused)]
    assert told.id in OLD_DATA
    assert scene.model.version == "1.0.0"


async def test_a_rollback_in_probation_brings_every_record_back_and_sets_aside_what_was_written_since() -> (
    None
):
    scene = Migrating()
    await scene.old(*"abc")
    await scene.newer()
    await update_record(scene.keeping, scene.model, "a", {"names": ["a", "later"]})
    await create_record(scene.keeping, scene.model, {"names": ["d"]}, record_id="d")
    await scene.records.delete("orders", "c")
    restored = await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    assert restored is not None
    assert restored.version == "1.0.0"
    assert await scene.data() == OLD_DATA
    aside = {record.id: record.data async for record in scene.records.scan("orders.aside")}
    assert aside == {"a": {"names": ["a", "later"]}, "d": {"names": ["d"]}}
    told = [event for event in scene.events if isinstance(event, RecordsMigrated)][-1]
    assert (told.how, told.count, told.set_aside) == ("restored", 3, 2)
    assert await scene.left_behind() == []
    assert scene.model.version == "1.0.0"
    # The way is free again: the next release migrates from the old form.
    await scene.newer("2.0.1", sequence=3)
    assert await scene.data() == NEW_DATA


async def test_once_it_has_proved_itself_there_is_no_way_back_and_that_is_said() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    new = await scene.newer()
    spec = scene.running.require("orders").spec
    await scene.migrations.settle(spec)
    assert await scene.left_behind() == []
    old = scene.ledger.named("orders", "1.0.0")
    await scene.ledger.move(old, Stage.RETIRED)
    with pytest.raises(
        IncompatibleReleaseError, match=r"in the form of orders 2\.0\.0, which 1\.0\.0 does not know"
    ):
        await scene.deployer.deploy(scene.ledger.named("orders", "1.0.0"))
    live = scene.ledger.live("orders")
    assert live is not None
    assert live.digest == new.digest
    assert await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.") is None
    assert await scene.data() == NEW_DATA


async def test_a_release_without_migrate_takes_the_records_as_they_are() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    await scene.newer()
    scene.clock.pass_by(1)
    await scene.live("2.0.1", sequence=3, schema=NEW)
    assert await scene.data() == NEW_DATA
    restored = await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    assert restored is not None
    assert restored.version == "2.0.0"
    assert await scene.data() == NEW_DATA


async def test_a_migration_that_changes_nothing_leaves_the_way_back_open() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    before = await scene.all_of()
    scene.answers["2.0.0"] = lambda _function, payload: json.dumps(
        {"data": json.loads(payload)["data"]}
    ).encode()
    scene.clock.pass_by(1)
    await scene.live("2.0.0", sequence=2, migrate="migrate")
    assert await scene.all_of() == before
    await scene.migrations.settle(scene.running.require("orders").spec)
    assert await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.") is not None


async def test_what_is_written_while_records_are_handed_over_is_not_lost() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    old_model, count, looks = scene.model, scene.records.count, 0

    async def counted(model: str, *args: Any) -> int:
        """Each look at the records begins with their number: the second one is made with the gate closed."""
        nonlocal looks
        looks += model == "orders"
        if looks == 2:
            assert scene.keeping.gates._gates["orders"].closed
        return await count(model, *args)

    asked = scene.answers["2.0.0"]
    writes: list[asyncio.Task[Any]] = []

    def answer(function: str, payload: bytes) -> bytes:
        if function == "migrate" and not writes:
            writes.append(asyncio.create_task(write(), name="writer"))
        return asked(function, payload)

    async def write() -> None:
        await update_record(scene.keeping, old_model, "a", {"name": "changed"})
        await create_record(scene.keeping, old_model, {"name": "d"}, record_id="d")
        await scene.records.delete("orders", "c")

    scene.records.count = counted  # type: ignore[method-assign, assignment]
    scene.answers["2.0.0"] = answer
    await scene.newer()
    await writes[0]
    assert looks == 2
    assert await scene.data() == {"a": {"names": ["changed"]}, "b": {"names": ["b"]}, "d": {"names": ["d"]}}


async def test_writers_that_wait_at_the_switch_write_in_the_new_form() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    old_model = scene.model
    go_live = scene.ledger.go_live
    late: list[asyncio.Task[Any]] = []
    callers = contextvars.copy_context()

    async def switched(*args: Any, **more: Any) -> Release:
        # The gate is closed: whoever comes now waits, and is served by the new release.
        writing = update_record(scene.keeping, old_model, "a", {"more": 1})
        late.append(asyncio.create_task(writing, name="writer", context=callers))
        reading = scene.keeping.require(old_model, "b")
        late.append(asyncio.create_task(reading, name="reader", context=callers.copy()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in late)
        return await go_live(*args, **more)

    scene.ledger.go_live = switched  # type: ignore[method-assign]
    await scene.newer()
    changed, read = [await task for task in late]
    assert changed.data == {"names": ["a"], "more": 1}
    assert read.data == {"names": ["b"]}
    assert len(scene.keeping.gates) == 0


async def test_a_disk_that_fills_at_any_write_changes_nothing() -> None:
    for full_at in range(1, 60):
        scene = Migrating()
        await scene.old(*"abc")
        before = await scene.all_of()
        new = await scene.waiting()
        scene.records.full_at = scene.records.writes + full_at
        try:
            await scene.deployer.deploy(new)
        except EdgehostError:
            assert await scene.all_of() == before
        live = scene.ledger.live("orders")
        assert live is not None
        assert scene.model.version == live.version
        assert await scene.data() == (OLD_DATA if live.version == "1.0.0" else NEW_DATA)
        ended = scene.records.writes < scene.records.full_at
        again = await scene.restarted()
        assert await again.data() == (OLD_DATA if live.version == "1.0.0" else NEW_DATA)
        if ended:
            break
    else:
        pytest.fail("The migration never came to its end.")


async def test_a_power_cut_at_any_write_of_a_migration_leaves_the_form_of_the_live_release() -> None:
    ended = set()
    for cut_at in range(1, 60):
        scene = Migrating()
        await scene.old(*"abc")
        before = await scene.all_of()
        new = await scene.waiting()
        scene.records.cut_at = scene.records.writes + cut_at
        cut = True
        try:
            await scene.deployer.deploy(new)
            cut = False
        except (PowerCut, BaseExceptionGroup):
            pass
        again = await scene.restarted()
        live = again.ledger.live("orders")
        assert live is not None
        ended.add(live.version)
        if live.version == "1.0.0":
            assert await again.all_of() == before
            assert await again.left_behind() == []
            # What was cut short can be done to its end afterwards.
            again.clock.pass_by(10)
            await again.deployer.deploy(again.ledger.named("orders", "2.0.0"))
        assert await again.data() == NEW_DATA
        assert (await roll_back(again.deployer, again.bus, "orders", reason="It misbehaved.")) is not None
        assert await again.data() == OLD_DATA
        if not cut:
            break
    assert ended == {"1.0.0", "2.0.0"}


async def test_a_power_cut_at_any_write_of_a_way_back_leaves_the_form_of_the_live_release() -> None:
    ended = set()
    for cut_at in range(1, 60):
        scene = Migrating()
        await scene.old(*"abc")
        await scene.newer()
        await update_record(scene.keeping, scene.model, "a", {"names": ["later"]})
        scene.records.cut_at = scene.records.writes + cut_at
        cut = True
        try:
            await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
            cut = False
        except (PowerCut, BaseExceptionGroup):
            pass
        again = await scene.restarted()
        live = again.ledger.live("orders")
        assert live is not None
        ended.add(live.version)
        if live.version == "1.0.0":
            assert await again.data() == OLD_DATA
            aside = {record.id: record.data async for record in again.records.scan("orders.aside")}
            assert aside == {"a": {"names": ["later"]}}
        else:
            assert await again.data() == NEW_DATA | {"a": {"names": ["later"]}}
        if not cut:
            break
    assert ended == {"1.0.0", "2.0.0"}


async def test_too_many_records_are_refused_before_one_is_touched() -> None:
    scene = Migrating()
    await scene.old(*"abc")
    scene.deployer = replace(scene.deployer, migrations=replace(scene.migrations, most_records=2))
    with pytest.raises(IncompatibleReleaseError, match="has 3 records; 2 can be migrated"):
        await scene.newer()
    assert await scene.data() == OLD_DATA


def test_a_model_may_name_its_migrate_export() -> None:
    assert ModelSpec("orders", "orders", migrate="migrate").exports_used() == ("migrate",)
