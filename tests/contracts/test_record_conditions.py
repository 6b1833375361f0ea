"""Every record store finds by conditions: values of one kind, indexes that follow, bounds that hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgehost.domain.errors import InvalidQueryError
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
from tests.contracts.record_stores import OpenStore, a_record, ids_of, open_store

__all__ = ["open_store"]  # the fixture


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
