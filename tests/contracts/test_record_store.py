"""What every record store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgehost.domain.errors import InvalidRecordError, RevisionConflictError, TooLargeError
from edgehost.domain.record_query import RecordQuery
from tests.contracts.record_stores import OpenStore, a_record, ids_of, open_store

__all__ = ["open_store"]  # the fixture


async def test_what_was_put_is_read_back_exactly(open_store: OpenStore) -> None:
    data = {
        "float": 0.1 + 0.2,
        "tiny": 5e-324,
        "big": 2**80,
        "minus zero": -0.0,
        "text": 'é "quoted" \n\t\\ \U0001f600 \ud800',
        "nested": {"list": [1, 1.0, True, False, None, [], {}], "": "empty name"},
        "_check": "a name that the files use",
    }
    record = a_record("a", data, idempotency_key="k", request_digest="d")
    async with open_store() as store:
        await store.put(record)
        read = await store.get("reading", "a")
    assert read == record
    assert read is not None
    assert repr(read.data) == repr(data)  # 1, 1.0 and True are equal, but not the same


async def test_an_unknown_record_or_model_is_none(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.put(a_record("a"))
        assert await store.get("reading", "b") is None
        assert await store.get("other", "a") is None
        assert await store.get("../etc", "a") is None
        assert await store.count("other") == 0
        assert await store.delete("reading", "b") is False
        assert await store.delete("other", "a", expected_revision="x") is False
        assert (await store.find(RecordQuery("other"))).records == ()
        assert [record async for record in store.scan("other")] == []


async def test_changing_what_was_given_or_handed_out_changes_nothing_stored(open_store: OpenStore) -> None:
    data: dict[str, Any] = {"value": 1, "list": [1]}
    async with open_store() as store:
        await store.put(a_record("a", data))
        data["list"].append(2)
        first = await store.get("reading", "a")
        assert first is not None
        first.data["list"].append(3)
        (found,) = (await store.find(RecordQuery("reading"))).records
        found.data["list"].append(4)
        async for record in store.scan("reading"):
            record.data["list"].append(5)
        again = await store.get("reading", "a")
    assert again is not None
    assert again.data == {"value": 1, "list": [1]}


async def test_data_changed_by_its_owner_during_the_write_does_not_confuse_the_indexes(
    open_store: OpenStore,
) -> None:
    data: dict[str, Any] = {"value": 1}
    async with open_store() as store, asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(store.put(a_record("a", data)))
        await asyncio.sleep(0)
        data["value"] = 2
        await writing
        assert await ids_of(store, ("value", "eq", 1)) == ["a"]
        await store.put(a_record("a", {"value": 3}))
        assert await ids_of(store, ("value", "le", 2)) == []


@pytest.mark.parametrize(
    "data",
    [
        {"x": float("nan")},
        {"x": [float("inf")]},
        {"x": b"bytes"},
        {"x": (1, 2)},
        {"x": {1: "number as a name"}},
        {"x": {"y": [object()]}},
        {"x": 10**5000},
    ],
    ids=["nan", "infinity", "bytes", "tuple", "number as a name", "object", "endless number"],
)
async def test_what_is_no_json_is_refused(open_store: OpenStore, data: dict[str, Any]) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidRecordError):
            await store.put(a_record("a", data))
        with pytest.raises(InvalidRecordError):
            await store.put(a_record("a", created_at=float("nan")))
        assert await store.count("reading") == 0


async def test_too_large_and_too_deep_records_are_refused(open_store: OpenStore) -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"d": deep}
    circular: dict[str, Any] = {}
    circular["self"] = circular
    async with open_store() as store:
        for data in ({"x": "y" * (1024 * 1024)}, deep, circular):
            with pytest.raises(TooLargeError):
                await store.put(a_record("a", data))
        with pytest.raises(TooLargeError):
            await store.put(a_record("a", idempotency_key="k" * 1000))
        await store.put(a_record("a", {"x": "y" * (1024 * 1024 - 400)}))
        assert await store.count("reading") == 1


@pytest.mark.parametrize("model", ["", "Reading", "../x", "a b", "a_b", "-a", "a" * 65, "a\n"])
async def test_a_model_name_that_could_be_a_path_is_refused(open_store: OpenStore, model: str) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidRecordError):
            await store.put(a_record("a", model=model))


@pytest.mark.parametrize("record_id", ["", "a/b", ".hidden", "a b", "a" * 129])
async def test_a_record_id_that_could_be_a_path_is_refused(open_store: OpenStore, record_id: str) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidRecordError):
            await store.put(a_record(record_id))


async def test_create_update_and_delete_honour_the_expected_revision(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = a_record("a", {"value": 1})
        await store.put(first, expected_revision="")
        with pytest.raises(RevisionConflictError):
            await store.put(a_record("a", {"value": 2}), expected_revision="")
        with pytest.raises(RevisionConflictError):
            await store.put(a_record("a", {"value": 2}), expected_revision="another")
        with pytest.raises(RevisionConflictError):
            await store.put(a_record("b"), expected_revision=first.revision)
        assert await store.get("reading", "a") == first
        assert await store.get("reading", "b") is None
        second = a_record("a", {"value": 2})
        await store.put(second, expected_revision=first.revision)
        with pytest.raises(RevisionConflictError):
            await store.delete("reading", "a", expected_revision=first.revision)
        with pytest.raises(RevisionConflictError):
            await store.delete("reading", "a", expected_revision="")
        assert await store.delete("reading", "a", expected_revision=second.revision) is True
        assert await store.delete("reading", "a") is False


async def outcome(writing: Any) -> str:
    try:
        await writing
    except RevisionConflictError:
        return "conflict"
    return "stored"


async def test_of_many_writers_with_one_expected_revision_exactly_one_wins(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = a_record("a", {"value": 0})
        await store.put(first)
        async with asyncio.TaskGroup() as tasks:
            writing = [
                tasks.create_task(
                    outcome(store.put(a_record("a", {"value": n}), expected_revision=first.revision))
                )
                for n in range(1, 20)
            ]
            creating = [
                tasks.create_task(outcome(store.put(a_record("new", {"value": n}), expected_revision="")))
                for n in range(20)
            ]
            await asyncio.sleep(0)  # more of them meet the batch in flight
            late = tasks.create_task(
                outcome(store.put(a_record("a", {"value": 99}), expected_revision=first.revision))
            )
        assert [task.result() for task in [*writing, late]].count("stored") == 1
        assert [task.result() for task in creating].count("stored") == 1
        assert await store.count("reading") == 2


async def test_writes_of_one_caller_build_on_each_other_without_waiting(open_store: OpenStore) -> None:
    first, second, third = a_record("a"), a_record("a"), a_record("a", {"value": 3})
    async with open_store() as store:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.put(first, expected_revision=""))
            tasks.create_task(store.put(second, expected_revision=first.revision))
            tasks.create_task(store.delete("reading", "a", expected_revision=second.revision))
            tasks.create_task(store.put(third, expected_revision=""))
        assert await store.get("reading", "a") == third
        assert await store.count("reading") == 1
