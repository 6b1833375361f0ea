"""What every record store answers to larger questions: the same, whatever it is made of."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import (
    MAX_GROUPS,
    AggregateQuery,
    Function,
    Measure,
    TimeBuckets,
)
from edgehost.domain.record_query import AnyOf, Condition, Filter, Operator, RecordQuery, Sort, Words
from edgehost.ports.record_store import RecordStore
from tests.contracts.query_oracle import CONDITIONS, DOCUMENTS, SORTS, expected_records
from tests.contracts.record_stores import KINDS, MODEL, OpenStore, a_record, open_store, opener

__all__ = ["open_store"]  # the fixture


async def all_of(store: RecordStore, query: RecordQuery) -> list[str]:
    """Every page of a query."""
    found: list[str] = []
    while True:
        page = await store.find(query)
        assert len(page.records) <= query.limit
        found += [record.id for record in page.records]
        if not page.next_cursor:
            return found
        assert page.records
        query = replace(query, after=page.next_cursor)


async def compare_stores(documents: Sequence[dict[str, Any]], query: RecordQuery) -> None:
    records = [
        a_record(f"r{place}", document, created_at=float(place % 3))
        for place, document in enumerate(documents)
    ]
    records.pop(0) if len(records) > 4 else None
    expected = expected_records(records, query.filters, query.sort, descending=query.descending)
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            async with opener(kind, Path(folder, kind))() as store:
                await store.ensure_text_index(MODEL, ("x", "z.x"))
                for place, document in enumerate(documents[:1]):
                    await store.put(a_record(f"r{place}", document, created_at=float(place % 3)))
                if len(documents) > 4:
                    await store.delete(MODEL, "r0")
                for record in records:
                    await store.put(record)
                assert await all_of(store, query) == [record.id for record in expected], kind
                assert await store.count(MODEL, query.filters) == len(expected), kind
                await store.explain(query)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(DOCUMENTS, max_size=8),
    st.lists(CONDITIONS, max_size=2).map(tuple),
    SORTS,
    st.tuples(st.integers(1, 4), st.booleans()),
)
def test_every_store_answers_every_query_as_plain_python_does(
    documents: list[dict[str, Any]],
    conditions: tuple[Condition, ...],
    sort: tuple[Sort, ...],
    shape: tuple[int, bool],
) -> None:
    limit, descending = shape
    query = RecordQuery(MODEL, conditions, limit, descending=descending, sort=sort)
    asyncio.run(compare_stores(documents, query))


async def test_a_sorted_page_goes_on_where_the_last_one_ended_while_records_come_and_go(
    open_store: OpenStore,
) -> None:
    query = RecordQuery(MODEL, limit=3, sort=(Sort("value"),))
    async with open_store() as store:
        for n in range(9):
            await store.put(a_record(f"r{n}", {"value": n // 2}))
        page = await store.find(query)
        assert [record.id for record in page.records] == ["r0", "r1", "r2"]
        await store.delete(MODEL, "r2")  # where the cursor stands
        await store.delete(MODEL, "r5")
        await store.put(a_record("before", {"value": -1}))
        await store.put(a_record("tie", {"value": 1}))
        rest = await all_of(store, replace(query, after=page.next_cursor))
        assert rest == ["r3", "tie", "r4", "r6", "r7", "r8"]


async def test_sorting_by_several_fields_in_several_directions(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n, (room, value) in enumerate([("b", 1), ("a", 1), ("b", 2), ("a", 2), ("a", None), ("c", "x")]):
            await store.put(a_record(f"r{n}", {"place": {"room": room}, "value": value}))
        up_down = RecordQuery(MODEL, limit=2, sort=(Sort("place.room"), Sort("value", descending=True)))
        assert await all_of(store, up_down) == ["r3", "r1", "r4", "r2", "r0", "r5"]
        down = RecordQuery(MODEL, limit=2, sort=(Sort("value", descending=True),), descending=True)
        assert await all_of(store, down) == ["r5", "r3", "r2", "r1", "r0", "r4"]
        filtered = replace(up_down, filters=(Filter("value", Operator.GE, 2),))
        assert await all_of(store, filtered) == ["r3", "r2"]


@pytest.mark.parametrize("text", ["x" * 64, "x" * 65, "\U0010ffff" * 64, "a\ud800", ""])
async def test_texts_that_begin_alike_are_paged_without_loss(open_store: OpenStore, text: str) -> None:
    async with open_store() as store:
        for n in range(7):
            await store.put(a_record(f"r{n}", {"value": text + "z" * ((7 - n) % 3)}))
        for descending in (False, True):
            query = RecordQuery(MODEL, limit=2, sort=(Sort("value", descending),), descending=descending)
            found = await all_of(store, query)
            assert sorted(found) == [f"r{n}" for n in range(7)]


HOSTILE = [
    "A" * 2049,
    base64.urlsafe_b64encode(b"[2,5,[[0,1]]]" * 2).decode(),
    base64.urlsafe_b64encode(b"\0\0\0\0" + b"[" * 1000).decode(),
    "AAAAAGV2aWw",
    "=" * 100,
]


@pytest.mark.parametrize("cursor", HOSTILE)
async def test_a_hostile_cursor_is_refused(open_store: OpenStore, cursor: str) -> None:
    async with open_store() as store:
        await store.put(a_record("a"))
        for sort in ((), (Sort("value"),)):
            with pytest.raises(InvalidQueryError):
                await store.find(RecordQuery(MODEL, after=cursor, sort=sort))


async def test_a_cursor_belongs_to_its_order(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(4):
            await store.put(a_record(f"r{n}", {"value": n}))
        sort = (Sort("value"),)
        cursor = (await store.find(RecordQuery(MODEL, limit=1, sort=sort))).next_cursor
        others = [(), (Sort("value", descending=True),), (Sort("mixed"),), (Sort("value"), Sort("id"))]
        for other in others:
            with pytest.raises(InvalidQueryError):
                await store.find(RecordQuery(MODEL, after=cursor, sort=other))
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery(MODEL, after=cursor, sort=sort, descending=True))


async def test_a_page_ends_early_once_it_is_heavy_but_never_empty(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(6):
            await store.put(a_record(f"r{n}", {"value": n, "filling": "x" * 1000}))
        for sort in ((), (Sort("value"),)):
            page = await store.find(RecordQuery(MODEL, most_bytes=2500, sort=sort))
            assert [record.id for record in page.records] == ["r0", "r1", "r2"]
            page = await store.find(RecordQuery(MODEL, most_bytes=1, after=page.next_cursor, sort=sort))
            assert [record.id for record in page.records] == ["r3"]
            rest = await store.find(RecordQuery(MODEL, after=page.next_cursor, sort=sort))
            assert [record.id for record in rest.records] == ["r4", "r5"]


async def test_words_are_found_by_their_beginnings_in_any_case_and_without_accents(
    open_store: OpenStore,
) -> None:
    texts = ["Motor läuft heiß", "motor runs cold", ["Rotor", "heating"], "mo", 7, "hot motor-casing"]
    fields = ("note", "place.room")
    async with open_store() as store:
        await store.ensure_text_index(MODEL, fields)
        for n, text in enumerate(texts):
            await store.put(a_record(f"r{n}", {"note": text, "place": {"room": "Hall"} if n == 4 else None}))

        async def found(text: str) -> list[str]:
            return await all_of(store, RecordQuery(MODEL, (Words(text, fields),)))

        assert await found("MOTOR") == ["r0", "r1", "r5"]
        assert await found("mot h") == ["r0", "r5"]
        assert await found("lauf heiss") == ["r0"]
        assert await found("casing") == ["r5"]
        assert await found("heat") == ["r2"]
        assert await found("hal") == ["r4"]
        assert await found("") == []
        assert await found("?!") == []
        await store.put(a_record("r1", {"note": "all is well"}))
        await store.delete(MODEL, "r5")
        assert await found("motor") == ["r0"]
        assert await store.count(MODEL, (Words("motor", fields),)) == 1


async def test_the_plan_names_what_serves_a_query(open_store: OpenStore) -> None:
    async with open_store() as store:
        for field in ("value", "place.room"):
            await store.ensure_index(MODEL, field)
        for n in range(100):
            await store.put(a_record(f"r{n}", {"value": n, "other": n}))

        async def kind(*conditions: Condition, **options: Any) -> str:
            return (await store.explain(RecordQuery(MODEL, conditions, **options))).kind

        assert await kind(Filter("value", Operator.EQ, 5)) == "index"
        assert await kind(Filter("value", Operator.IN, [5, 6])) == "index"
        assert await kind(Filter("id", Operator.EQ, "r5")) == "id"
        assert await kind(Filter("other", Operator.EQ, 5)) == "scan"
        assert await kind(Filter("other", Operator.EQ, 5), Filter("value", Operator.LT, 9)) == "index"
        either = AnyOf((Filter("value", Operator.EQ, 5), Filter("other", Operator.EQ, 5)))
        assert await kind(either) == "scan"
        plan = await store.explain(RecordQuery("other"))
        assert (plan.kind, plan.records) == ("nothing", 0)


async def test_figures_are_added_up_in_groups(open_store: OpenStore) -> None:
    async with open_store() as store:
        data = [("hall", 1), ("hall", 2.5), ("attic", 4), ("attic", "n/a"), (None, 8), (True, None)]
        for n, (room, value) in enumerate(data):
            await store.put(a_record(f"r{n}", {"place": {"room": room}, "value": value}))
        measures = tuple(Measure(function, "value") for function in Function)
        rows = await store.aggregate(AggregateQuery(MODEL, measures=measures, group_by=("place.room",)))
        assert [(row.group["place.room"], row.count, *row.values.values()) for row in rows] == [
            (None, 1, 1, 8, 8, 8, 8),
            (True, 1, 1, 0, None, None, None),
            ("attic", 2, 2, 4, 4, 4, "n/a"),
            ("hall", 2, 2, 3.5, 1.75, 1, 2.5),
        ]
        assert list(rows[0].values) == [f"{name}(value)" for name in ("count", "sum", "avg", "min", "max")]
        (whole,) = await store.aggregate(
            AggregateQuery(MODEL, (Filter("value", Operator.GT, 100),), measures=measures[:2])
        )
        assert (whole.count, dict(whole.values)) == (0, {"count(value)": 0, "sum(value)": 0})
        assert await store.aggregate(AggregateQuery("other", group_by=("x",))) == ()


async def test_time_buckets_take_seconds_and_dates(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n, at in enumerate(["1970-01-01T00:00:59Z", "1970-01-01T01:01:10+01:00", 61, -1, "yesterday"]):
            await store.put(a_record(f"r{n}", {"at": at}, created_at=float(n * 10)))
        by_field = AggregateQuery(MODEL, buckets=TimeBuckets(60, "at"))
        rows = await store.aggregate(by_field)
        assert [(row.bucket, row.count) for row in rows] == [(None, 1), (-60, 1), (0, 1), (60, 2)]
        rows = await store.aggregate(AggregateQuery(MODEL, buckets=TimeBuckets(20)))
        assert [(row.bucket, row.count) for row in rows] == [(0, 2), (20, 2), (40, 1)]


async def test_sums_do_not_depend_on_the_order_of_records(open_store: OpenStore) -> None:
    numbers = [1e16, 1.0, -1e16, 0.1, 2**62, -(2**62), 3]
    for ordered in (numbers, numbers[::-1]):
        async with open_store() as store:
            for n, value in enumerate(ordered):
                await store.put(a_record(f"{ordered[0]:.0f}-{n}".lstrip("-"), {"value": value}, model="m"))
            (row,) = await store.aggregate(
                AggregateQuery("m", measures=(Measure(Function.SUM, "value"), Measure(Function.AVG, "value")))
            )
            assert row.values["sum(value)"] == 4.1
            for record in [record async for record in store.scan("m")]:
                await store.delete("m", record.id)


@pytest.mark.parametrize(
    "query",
    [
        AggregateQuery(MODEL, measures=(Measure(Function.SUM, "x"),) * 20),
        AggregateQuery(MODEL, group_by=("a", "b", "c", "d")),
        AggregateQuery(MODEL, buckets=TimeBuckets(0)),
        AggregateQuery(MODEL, buckets=TimeBuckets(float("nan"))),
        AggregateQuery(MODEL, buckets=TimeBuckets(60, "x" * 300)),
    ],
    ids=["many figures", "many groupings", "no width", "no number", "long field"],
)
async def test_figures_beyond_their_bounds_are_refused(open_store: OpenStore, query: AggregateQuery) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidQueryError):
            await store.aggregate(query)


async def test_too_many_groups_are_refused(open_store: OpenStore) -> None:
    async with open_store() as store, asyncio.TaskGroup() as tasks:
        for n in range(MAX_GROUPS + 1):
            tasks.create_task(store.put(a_record(f"r{n}", {"value": n})))
    # the same store, opened again where it keeps what it holds; else filled again
    async with open_store() as store:
        if await store.count(MODEL) <= MAX_GROUPS:
            for n in range(MAX_GROUPS + 1):
                await store.put(a_record(f"r{n}", {"value": n}))
        with pytest.raises(InvalidQueryError, match="groups"):
            await store.aggregate(AggregateQuery(MODEL, group_by=("value",)))


def test_records_are_compared_as_they_are() -> None:
    record: Record = a_record("a", {"x": [1, 2]})
    assert expected_records([record], [Filter("x", Operator.CONTAINS, 1.0)]) == [record]
