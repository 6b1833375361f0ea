"""What every record store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from edgehost.domain.errors import (
    InvalidQueryError,
    InvalidRecordError,
    RevisionConflictError,
    TooLargeError,
)
from edgehost.domain.record_query import (
    MAX_PAGE,
    AnyOf,
    Condition,
    Filter,
    Operator,
    RecordPage,
    RecordQuery,
    Sort,
    Words,
)
from edgehost.ports.record_store import RecordStore
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


async def pages_of(store: RecordStore, query: RecordQuery) -> list[list[str]]:
    pages = []
    while True:
        page = await store.find(query)
        pages.append([record.id for record in page.records])
        if not page.next_cursor:
            return pages
        assert len(page.next_cursor) < 100
        query = replace(query, after=page.next_cursor)


async def test_pages_come_in_order_of_creation_in_both_directions(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(10):
            await store.put(a_record(f"r{n}", {"value": n % 2}))
        await store.put(a_record("r3", {"value": 1}))  # an update keeps its place
        expected = [f"r{n}" for n in range(10)]
        assert await pages_of(store, RecordQuery("reading", limit=4)) == [
            expected[:4],
            expected[4:8],
            expected[8:],
        ]
        backwards = expected[::-1]
        assert await pages_of(store, RecordQuery("reading", limit=5, descending=True)) == [
            backwards[:5],
            backwards[5:],
        ]
        odd = (Filter("value", Operator.EQ, 1),)
        assert await pages_of(store, RecordQuery("reading", odd, limit=2)) == [
            ["r1", "r3"],
            ["r5", "r7"],
            ["r9"],
        ]
        assert await pages_of(store, RecordQuery("reading", odd, limit=3, descending=True)) == [
            ["r9", "r7", "r5"],
            ["r3", "r1"],
        ]
        assert [record.id async for record in store.scan("reading")] == expected


async def test_a_cursor_stays_put_while_records_come_and_go(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(6):
            await store.put(a_record(f"r{n}"))
        page = await store.find(RecordQuery("reading", limit=3))
        for gone in ("r0", "r2", "r4"):  # r2 is where the cursor stands
            await store.delete("reading", gone)
        await store.put(a_record("r0"))  # created again: now the newest
        rest = await store.find(RecordQuery("reading", after=page.next_cursor))
        assert [record.id for record in rest.records] == ["r3", "r5", "r0"]


async def test_a_record_created_after_deletions_is_never_behind_a_cursor(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(3):
            await store.put(a_record(f"r{n}"))
        page = await store.find(RecordQuery("reading", limit=2))
        await store.delete("reading", "r1")
        await store.delete("reading", "r2")
        await store.put(a_record("new"))
        rest = await store.find(RecordQuery("reading", after=page.next_cursor))
        assert [record.id for record in rest.records] == ["new"]


@pytest.mark.parametrize(
    "after", ["x", "é", "!" * 40, "A" * 5000, "AAAAAAAAAAAAAAAAAA", "AQAAAAAAAAABAAAAAA"]
)
async def test_a_foreign_cursor_is_refused(open_store: OpenStore, after: str) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("reading", after=after))


async def test_a_cursor_belongs_to_its_model_and_direction(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(3):
            await store.put(a_record(f"r{n}"))
            await store.put(a_record(f"r{n}", model="other"))
        cursor = (await store.find(RecordQuery("reading", limit=1))).next_cursor
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("other", after=cursor))
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("reading", after=cursor, descending=True))


def deep_condition() -> Condition:
    condition: Condition = Filter("x", Operator.EQ, 1)
    for _ in range(50):
        condition = AnyOf((condition,))
    return condition


@pytest.mark.parametrize(
    "query",
    [
        RecordQuery("reading", limit=0),
        RecordQuery("reading", limit=MAX_PAGE + 1),
        RecordQuery("reading", (Filter("", Operator.EQ, 1),)),
        RecordQuery("reading", (Filter("x" * 1000, Operator.EQ, 1),)),
        RecordQuery("reading", (Filter("x", Operator.EQ, 1),) * 100),
        RecordQuery("reading", (AnyOf((Filter("x", Operator.EQ, 1),) * 100),)),
        RecordQuery("reading", (deep_condition(),)),
        RecordQuery("reading", (Filter("x", Operator.IN, [0] * 2000),)),
        RecordQuery("reading", (Filter("x", Operator.IN, 1),)),
        RecordQuery("reading", (Filter("x", Operator.EXISTS, 1),)),
        RecordQuery("reading", (Words("a", ()),)),
        RecordQuery("reading", sort=(Sort("x"),) * 4),
        RecordQuery("reading", sort=(Sort(""),)),
        RecordQuery("reading", fields=("x",) * 100),
    ],
    ids=[
        *("no limit", "large limit", "no field", "long field", "many filters", "many ors", "deep ors"),
        *("long list", "no list", "no truth value", "words in no field"),
        *("many sorts", "sort by nothing", "many fields"),
    ],
)
async def test_a_query_beyond_its_bounds_is_refused(open_store: OpenStore, query: RecordQuery) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidQueryError):
            await store.find(query)


VALUES: dict[str, Any] = {
    "minus": -1,
    "zero": 0,
    "half": 0.5,
    "one": 1,
    "one-float": 1.0,
    "true": True,
    "false": False,
    "null": None,
    "empty": "",
    "text-one": "1",
    "abc": "abc",
    "abd": "abd",
    "last": "\U0010ffff\U0010ffff",
    "list": [1, 2],
    "list-true": [True, 2],
    "object": {"a": 1},
}


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("eq", 1, ["one", "one-float"]),
        ("eq", True, ["true"]),
        ("eq", None, ["null"]),
        ("eq", "abc", ["abc"]),
        ("eq", [1, 2], ["list"]),
        ("eq", {"a": 1.0}, ["object"]),
        ("ne", 1, [name for name in VALUES if name not in ("one", "one-float")]),
        ("lt", 1, ["minus", "zero", "half"]),
        ("le", 0.5, ["minus", "zero", "half"]),
        ("gt", 0, ["half", "one", "one-float"]),
        ("ge", 1, ["one", "one-float"]),
        ("ge", "abd", ["abd", "last"]),
        ("lt", "abc", ["empty", "text-one"]),
        ("gt", True, []),
        ("lt", None, []),
        ("ge", [1], []),
        ("le", {"a": 1}, []),
        ("prefix", "ab", ["abc", "abd"]),
        ("prefix", "", ["empty", "text-one", "abc", "abd", "last"]),
        ("prefix", "\U0010ffff", ["last"]),
        ("prefix", 1, []),
        ("eq", float("nan"), []),
        ("lt", float("inf"), ["minus", "zero", "half", "one", "one-float"]),
        ("gt", 10**400, []),
    ],
)
async def test_values_are_compared_within_their_kind(
    open_store: OpenStore, operator: str, value: Any, expected: list[str]
) -> None:
    async with open_store() as store:
        for name, stored in VALUES.items():
            await store.put(a_record(name, {"mixed": stored}))
        await store.put(a_record("lacks-it", {}))
        assert await ids_of(store, ("mixed", operator, value)) == expected
        assert await ids_of(store, ("mixed", operator, value), descending=True) == expected[::-1]


async def test_filters_reach_into_documents_and_all_must_hold(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.put(a_record("a", {"value": 1, "place": {"room": "hall"}, "tags": ["x", {"y": 2}]}))
        await store.put(a_record("b", {"value": 2, "place": {"room": "hall"}}, created_at=9.0))
        await store.put(a_record("c", {"value": 3, "place": "hall"}))
        assert await ids_of(store, ("place.room", "eq", "hall")) == ["a", "b"]
        assert await ids_of(store, ("place.room", "eq", "hall"), ("value", "gt", 1)) == ["b"]
        assert await ids_of(store, ("tags.1.y", "eq", 2)) == ["a"]
        assert await ids_of(store, ("tags.7", "eq", 2), ("tags.99999999999", "eq", 2)) == []
        assert await ids_of(store, ("id", "eq", "c")) == ["c"]
        assert await ids_of(store, ("id", "eq", "c"), ("value", "eq", 1)) == []
        assert await ids_of(store, ("id", "eq", 3)) == []
        assert await ids_of(store, ("id", "ge", "b")) == ["b", "c"]
        assert await ids_of(store, ("created_at", "gt", 5)) == ["b"]
        assert await ids_of(store, ("updated_at", "eq", 2.5), ("revision", "prefix", "0")) == ["a", "b", "c"]


async def test_an_index_follows_updates_and_deletions(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(5):
            await store.put(a_record(f"r{n}", {"value": n}))
        await store.put(a_record("r1", {"value": 100}))
        await store.put(a_record("r2", {"value": "text now"}))
        await store.delete("reading", "r3")
        await store.ensure_index("reading", "later")
        await store.ensure_index("reading", "value")
        assert await ids_of(store, ("value", "ge", 0)) == ["r0", "r1", "r4"]
        assert await ids_of(store, ("value", "gt", 4)) == ["r1"]
        assert await ids_of(store, ("value", "prefix", "text")) == ["r2"]
        assert await ids_of(store, ("value", "ge", 0), limit=2, descending=True) == ["r4", "r1"]


async def test_a_request_is_found_by_its_idempotency_key(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.put(a_record("a", idempotency_key="k"))
        await store.put(a_record("b", idempotency_key="k"))
        await store.put(a_record("c"))
        found = await store.find_by_idempotency_key("reading", "k")
        assert found is not None
        assert found.id == "a"
        await store.delete("reading", "a")
        found = await store.find_by_idempotency_key("reading", "k")
        assert found is not None
        assert found.id == "b"
        await store.put(a_record("b"))
        assert await store.find_by_idempotency_key("reading", "k") is None
        assert await store.find_by_idempotency_key("reading", "") is None
        assert await store.find_by_idempotency_key("other", "k") is None


async def test_a_scan_goes_on_while_records_are_deleted(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(300):
            await store.put(a_record(f"r{n}"))
        seen: list[str] = []
        async for record in store.scan("reading"):
            seen.append(record.id)
            if record.id == "r10":
                await store.delete("reading", "r5")
                await store.delete("reading", "r299")
                await store.put(a_record("late"))
        assert seen == [f"r{n}" for n in range(299)] + ["late"]


async def test_a_long_search_lets_others_run(open_store: OpenStore, request: pytest.FixtureRequest) -> None:
    turns = 0
    is_far = (
        "compatible" in request.node.callspec.params["open_store"]
    )  # and searches in a process of its own

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with open_store() as store:
        async with asyncio.TaskGroup() as tasks:
            for n in range(150 if is_far else 1500):
                tasks.create_task(store.put(a_record(f"r{n}", {"deep": {"value": n}})))
        async with asyncio.TaskGroup() as tasks:
            other = tasks.create_task(take_turns())
            page: RecordPage = await store.find(
                RecordQuery("reading", (Filter("deep.value", Operator.LT, 0),))
            )
            other.cancel()
    assert page.records == ()
    assert turns >= 5
