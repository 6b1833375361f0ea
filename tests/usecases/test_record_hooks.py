"""What a model's guest may say about its records: complete, refuse, veto, command."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edgehost.domain.errors import (
    ConflictError,
    EndpointTakenError,
    GuestFailedError,
    GuestProtocolError,
    IdempotencyConflictError,
    InvalidRecordError,
    InvalidSpecificationError,
    NotFoundError,
    RevisionConflictError,
    TooLargeError,
)
from edgehost.domain.events import Event, RecordCreated, RecordDeleted, RecordUpdated
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.domain.record_query import RecordQuery
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.create_record import Idempotency, create_record, new_record_id
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import query_records
from edgehost.usecases.record_keeping import remember_revisions
from edgehost.usecases.run_command import run_command
from edgehost.usecases.update_record import update_record
from tests.api.scene import NOTES, TELEMETRY, Kept


def model_of(kept: Kept, document: dict[str, Any], **model: Any) -> LiveModel:
    kept.serve(document, **model)
    return kept.models.table.named(document["name"])


async def records_of(kept: Kept, model: LiveModel) -> list[Record]:
    return [record async for record in kept.store.scan(model.spec.name)]


async def test_the_guest_completes_what_is_created_and_changed() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, validate="check", on_update="touch")

    async def check(question: Any, _context: CallContext) -> Any:
        return {"data": question["data"] | {"checked": question["event"]}}

    async def touch(question: Any, _context: CallContext) -> Any:
        assert question["previous"]["checked"] == "create"
        assert question["changes"] == {"text": "y", "checked": "update"}
        return {"data": question["data"] | {"touched": True}}

    kept.guests.functions = {("notes", "check"): check, ("notes", "touch"): touch}
    created = (await create_record(kept.keeping, model, {"text": "x"}, record_id="a")).record
    assert created.data == {"text": "x", "checked": "create"}
    assert kept.guests.calls[0][2] == {"event": "create", "id": "a", "data": {"text": "x"}}
    changed = await update_record(kept.keeping, model, "a", {"text": "y"})
    assert changed.data == {"text": "y", "checked": "update", "touched": True}
    assert await kept.store.get("notes", "a") == changed


async def test_a_guest_that_says_nothing_leaves_the_data_as_it_came() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, validate="check")
    answers: list[Any] = [None, {}]
    for answer in answers:

        async def check(_question: Any, _context: CallContext, answer: Any = answer) -> Any:
            return answer

        kept.guests.functions[("notes", "check")] = check
        assert (await create_record(kept.keeping, model, {"n": 1})).record.data == {"n": 1}


async def test_a_refusal_of_the_guest_keeps_the_store_as_it_was() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, validate="check", on_delete="keep")
    refusing = False

    async def check(_question: Any, _context: CallContext) -> Any:
        if refusing:
            raise GuestFailedError("Too warm.")

    kept.guests.functions = {("notes", "check"): check, ("notes", "keep"): check}
    await create_record(kept.keeping, model, {"n": 1}, record_id="a")
    refusing = True
    before = await records_of(kept, model)
    async with kept.bus.subscription() as events:
        for attempt in (
            create_record(kept.keeping, model, {}),
            update_record(kept.keeping, model, "a", {"n": 2}),
            delete_record(kept.keeping, model, "a"),
        ):
            with pytest.raises(GuestFailedError, match="Too warm"):
                await attempt
        refusing = False
        await delete_record(kept.keeping, model, "a")
        assert isinstance(await anext(events), RecordDeleted)
    assert len(before) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        [1],
        {"data": 1},
        {"data": {"sensor": 7}},
        {"dat": {}},
        {"data": {}, "x": 1},
        b"x" * 3_000_000,
    ],
)
async def test_an_answer_that_does_not_fit_is_the_guests_fault(answer: Any) -> None:
    kept = Kept()
    model = model_of(kept, TELEMETRY, validate="check")

    async def check(_question: Any, _context: CallContext) -> Any:
        return answer

    kept.guests.functions[("telemetry", "check")] = check
    with pytest.raises(GuestProtocolError):
        await create_record(kept.keeping, model, {"sensor": "a"})
    assert await records_of(kept, model) == []
    assert kept.guests.blamed == ["telemetry"]


async def test_the_schema_is_checked_before_the_guest_is_asked() -> None:
    kept = Kept()
    model = model_of(kept, TELEMETRY, validate="check")
    with pytest.raises(InvalidRecordError):
        await create_record(kept.keeping, model, {"sensor": 7})
    assert kept.guests.calls == []


async def test_a_command_runs_once_and_may_change_the_record() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, commands={"shout": {"export": "do_shout"}, "look": {}})

    async def shout(question: Any, _context: CallContext) -> Any:
        assert question["record"]["revision"]
        return {"result": question["args"], "data": {"text": question["record"]["data"]["text"].upper()}}

    async def look(_question: Any, _context: CallContext) -> Any:
        return {"result": [1]}

    kept.guests.functions = {("notes", "do_shout"): shout, ("notes", "look"): look}
    await create_record(kept.keeping, model, {"text": "x"}, record_id="a")
    outcome = await run_command(kept.keeping, model, "a", "shout", {"loud": True})
    assert outcome.result == {"loud": True}
    assert outcome.changed is not None
    assert outcome.changed.data == {"text": "X"}
    again = await run_command(kept.keeping, model, "a", "shout", None)
    assert again.changed is None
    assert (await run_command(kept.keeping, model, "a", "look", None)).result == [1]
    with pytest.raises(NotFoundError, match="no command"):
        await run_command(kept.keeping, model, "a", "shuot", None)
    with pytest.raises(NotFoundError, match="no record"):
        await run_command(kept.keeping, model, "b", "shout", None)


async def test_a_commands_own_change_loses_against_one_made_meanwhile() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, commands={"count": {}})

    async def count(_question: Any, context: CallContext) -> Any:
        inner = CallContext((*context.chain, "notes"))
        await update_record(kept.keeping, model, "a", {"n": 5}, context=inner)
        return {"result": None, "data": {"n": 1}}

    kept.guests.functions[("notes", "count")] = count
    await create_record(kept.keeping, model, {"n": 0}, record_id="a")
    with pytest.raises(ConflictError, match="ran, but"):
        await run_command(kept.keeping, model, "a", "count", None)
    stored = await kept.store.get("notes", "a")
    assert stored is not None
    assert stored.data == {"n": 5}


async def test_a_hook_that_writes_its_own_record_ends_in_a_conflict_not_in_a_deadlock() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, on_update="touch")
    number = 0

    async def touch(_question: Any, context: CallContext) -> Any:
        nonlocal number
        number += 1
        if not context.chain:
            await update_record(kept.keeping, model, "a", {"inner": number}, context=CallContext(("notes",)))

    kept.guests.functions[("notes", "touch")] = touch
    await create_record(kept.keeping, model, {}, record_id="a")
    with pytest.raises(ConflictError, match="faster"):
        await update_record(kept.keeping, model, "a", {"outer": 1})
    assert len(kept.keeping.locks) == 0


async def test_updates_that_meet_are_all_applied() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, on_update="touch")

    async def touch(_question: Any, _context: CallContext) -> Any:
        await asyncio.sleep(0)

    kept.guests.functions[("notes", "touch")] = touch
    await create_record(kept.keeping, model, {}, record_id="a")
    async with asyncio.TaskGroup() as tasks:
        for number in range(40):
            tasks.create_task(update_record(kept.keeping, model, "a", {f"n{number}": number}))
    stored = await kept.store.get("notes", "a")
    assert stored is not None
    assert stored.data == {f"n{number}": number for number in range(40)}
    assert len(kept.keeping.locks) == 0


async def test_requests_with_one_key_that_come_together_create_one_record() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, validate="check")

    async def check(_question: Any, _context: CallContext) -> Any:
        await asyncio.sleep(0)

    kept.guests.functions[("notes", "check")] = check
    key = Idempotency("k", "digest")
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(create_record(kept.keeping, model, {}, idempotency=key)) for _ in range(20)]
    assert len({task.result().record.id for task in made}) == 1
    assert sum(not task.result().repeated for task in made) == 1
    await update_record(kept.keeping, model, made[0].result().record.id, {"later": 1})
    again = await create_record(kept.keeping, model, {}, idempotency=key)
    assert again.repeated
    assert again.record.id == made[0].result().record.id
    with pytest.raises(IdempotencyConflictError):
        await create_record(kept.keeping, model, {}, idempotency=Idempotency("k", "other"))
    assert len(await records_of(kept, model)) == 1


async def test_facts_are_told_after_they_are_stored() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    async with kept.bus.subscription() as events:
        created = (await create_record(kept.keeping, model, {"n": 1})).record
        changed = await update_record(kept.keeping, model, created.id, {"n": 2})
        await delete_record(kept.keeping, model, created.id)
        told: list[Event] = [await anext(events) for _ in range(3)]
    assert [type(event) for event in told] == [RecordCreated, RecordUpdated, RecordDeleted]
    revisions = [
        event.revision for event in told if isinstance(event, RecordCreated | RecordUpdated | RecordDeleted)
    ]
    assert revisions[:2] == [created.revision, changed.revision]
    assert revisions == sorted(revisions)


async def test_revisions_stay_ahead_of_what_is_stored_even_from_the_future() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    far = "ffffffff0000-0001-there"
    await kept.store.put(Record("notes", "a", {"n": 1}, far, 1.0, 1.0))
    assert (await update_record(kept.keeping, model, "a", {"n": 2})).revision > far
    other = Kept(store=kept.store)
    await remember_revisions(other.keeping, ["notes"])
    assert (await create_record(other.keeping, model, {})).record.revision > far


async def test_a_record_cannot_grow_without_end() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    await create_record(kept.keeping, model, {}, record_id="a")
    for number in range(5):
        await update_record(kept.keeping, model, "a", {f"n{number}": "x" * 200_000})
    with pytest.raises(TooLargeError):
        await update_record(kept.keeping, model, "a", {"n5": "x" * 200_000})


async def test_an_expected_revision_is_the_only_one_that_is_changed() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    created = (await create_record(kept.keeping, model, {"n": 1}, record_id="a")).record
    await update_record(kept.keeping, model, "a", {"n": 2}, expected=[created.revision, "x"])
    with pytest.raises(RevisionConflictError):
        await update_record(kept.keeping, model, "a", {"n": 3}, expected=[created.revision])
    with pytest.raises(RevisionConflictError):
        await delete_record(kept.keeping, model, "a", expected=[])
    page = await query_records(kept.keeping, RecordQuery("notes"))
    assert [json.loads(text)["data"] for text in page.records] == [{"n": 2}]


async def test_a_page_of_large_records_is_shorter_and_goes_on_where_it_ended() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    for number in range(50):
        await create_record(kept.keeping, model, {"n": number, "text": "x" * 1000})
    seen: list[int] = []
    cursor, pages = "", 0
    while cursor or not pages:
        page = await query_records(
            kept.keeping, RecordQuery("notes", limit=40, after=cursor), most_bytes=20_000
        )
        assert sum(map(len, page.records)) < 40_000
        seen += [record["data"]["n"] for record in json.loads(page.to_json())["records"]]
        cursor, pages = page.next_cursor, pages + 1
    assert seen == list(range(50))
    assert pages == 3
    whole = await query_records(kept.keeping, RecordQuery("notes", limit=50))
    assert (len(whole.records), whole.next_cursor) == (50, "")
    assert len((await query_records(kept.keeping, RecordQuery("notes", limit=5))).records) == 5
    one = await query_records(kept.keeping, RecordQuery("notes", limit=50), most_bytes=1)
    assert len(one.records) == 1


async def test_a_delete_meets_changes_made_while_the_model_was_asked() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, on_delete="keep")
    inner = CallContext(("notes",))
    meanwhile: list[str] = []

    async def keep(_question: Any, context: CallContext) -> Any:
        if not context.chain and meanwhile:
            await (meanwhile_do[meanwhile.pop()])()

    async def change() -> None:
        await update_record(kept.keeping, model, "a", {"n": len(kept.guests.calls)}, context=inner)

    async def remove() -> None:
        await delete_record(kept.keeping, model, "a", context=inner)

    meanwhile_do = {"change": change, "remove": remove}
    kept.guests.functions[("notes", "keep")] = keep
    created = (await create_record(kept.keeping, model, {}, record_id="a")).record

    meanwhile.append("change")
    with pytest.raises(RevisionConflictError):
        await delete_record(kept.keeping, model, "a", expected=[created.revision])
    meanwhile.append("change")
    await delete_record(kept.keeping, model, "a")
    assert await kept.store.get("notes", "a") is None

    await create_record(kept.keeping, model, {}, record_id="a")
    meanwhile.append("remove")
    with pytest.raises(NotFoundError):
        await delete_record(kept.keeping, model, "a")

    await create_record(kept.keeping, model, {}, record_id="a")
    meanwhile.extend(["change"] * 100)
    with pytest.raises(ConflictError, match="faster"):
        await delete_record(kept.keeping, model, "a")


async def test_a_conditional_change_is_not_tried_again() -> None:
    kept = Kept()
    model = model_of(kept, NOTES, on_update="touch")

    async def touch(_question: Any, context: CallContext) -> Any:
        if not context.chain:
            await update_record(kept.keeping, model, "a", {"inner": 1}, context=CallContext(("notes",)))

    kept.guests.functions[("notes", "touch")] = touch
    created = (await create_record(kept.keeping, model, {}, record_id="a")).record
    with pytest.raises(RevisionConflictError):
        await update_record(kept.keeping, model, "a", {"outer": 1}, expected=[created.revision])
    with pytest.raises(InvalidRecordError, match="merge patch"):
        await update_record(kept.keeping, model, "a", [1])
    with pytest.raises(NotFoundError):
        kept.models.table.named("nots")


def test_made_ids_sort_by_time() -> None:
    ids = [new_record_id(1_700_000_000 + seconds) for seconds in range(20)]
    assert ids == sorted(ids)
    assert all(ID_PATTERN.fullmatch(made) for made in ids)
    assert new_record_id(-5.0)


def test_an_endpoint_and_a_name_belong_to_one_component() -> None:
    kept = Kept()
    kept.serve(NOTES)
    for document in (
        NOTES | {"name": "other", "model": {"endpoint": "notes"}},
        NOTES | {"name": "other", "model": {"name": "notes", "endpoint": "elsewhere"}},
    ):
        table = kept.models.table
        with pytest.raises(EndpointTakenError):
            kept.serve(document)
        assert kept.models.table is table
    kept.serve(NOTES, endpoint="moved")
    assert list(kept.models.table.by_endpoint) == ["moved"]
    with pytest.raises(InvalidSpecificationError):
        kept.serve(NOTES, schema={"type": "nonsense"})
    with pytest.raises(InvalidSpecificationError):
        kept.serve(NOTES, schema={"default": float("inf")})
