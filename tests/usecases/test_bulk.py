"""Importing and exporting many records."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from edgehost.usecases.export_records import export_records
from edgehost.usecases.import_records import ImportReport, OnError, import_records
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_lines import BulkFormat
from tests.api.scene import NOTES, TELEMETRY, Kept


async def in_chunks(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def items(*documents: Any) -> bytes:
    return b"".join(cbor2.dumps(document) for document in documents)


def model_of(kept: Kept, document: dict[str, Any]) -> LiveModel:
    kept.serve(document)
    return kept.models.table.named(document["name"])


async def exported(kept: Kept, model: LiveModel, form: BulkFormat, query: RecordQuery | None = None) -> bytes:
    chunks = export_records(kept.keeping, model, query or RecordQuery(model.spec.name), form=form)
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("form", BulkFormat)
async def test_what_is_exported_can_be_imported_elsewhere_and_again_without_effect(form: BulkFormat) -> None:
    kept, other = Kept(), Kept()
    model, there = model_of(kept, NOTES), model_of(other, NOTES)
    written = lines(*({"id": f"n{n}", "data": {"n": n, "text": "é\n" * n}} for n in range(700)))
    report = await import_records(kept.keeping, model, in_chunks(written))
    assert (report.lines, report.created, report.failed, report.stopped) == (700, 700, 0, False)
    content = await exported(kept, model, form)
    first = await import_records(other.keeping, there, in_chunks(content, 77), form=form)
    again = await import_records(other.keeping, there, in_chunks(content, 7777), form=form)
    assert (first.created, first.failed) == (700, 0)
    assert (again.created, again.unchanged, again.failed) == (0, 700, 0)
    assert await other.keeping.store.count("notes") == 700
    record = await other.keeping.store.get("notes", "n3")
    assert record is not None
    assert record.data == {"n": 3, "text": "é\n" * 3}


async def test_an_export_can_be_a_part_of_the_records_and_of_their_members() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    await import_records(kept.keeping, model, in_chunks(lines(*({"n": n, "x": 1} for n in range(10)))))
    query = RecordQuery("notes", (Filter("n", Operator.GE, 8),), fields=("n",))
    content = await exported(kept, model, BulkFormat.NDJSON, query)
    assert [json.loads(line)["data"] for line in content.splitlines()] == [{"n": 8}, {"n": 9}]


@pytest.mark.parametrize("form", BulkFormat)
async def test_errors_are_told_by_line_and_the_others_are_stored(form: BulkFormat) -> None:
    kept = Kept()
    model = model_of(kept, TELEMETRY)
    documents: list[Any] = [
        {"id": "a", "data": {"sensor": "a"}},
        {"id": "b", "data": {"sensor": 7}},
        ["no", "object"],
        {"sensor": "bare"},
        {"id": 5, "data": {"sensor": "x"}},
        {"id": "../x", "data": {"sensor": "x"}},
        {"id": "a", "data": {"sensor": "other"}},
    ]
    content = (lines if form is BulkFormat.NDJSON else items)(*documents)
    report = await import_records(
        kept.keeping, model, in_chunks(content, 10), form=form, on_error=OnError.SKIP
    )
    assert (report.lines, report.created, report.failed, report.stopped) == (7, 2, 5, False)
    assert [(line, code) for line, code, _ in report.errors] == [
        (2, "invalid-record"),
        (3, "invalid-record"),
        (5, "invalid-record"),
        (6, "invalid-record"),
        (7, "conflict"),
    ]
    assert report.document()["errors"][0]["line"] == 2


async def test_a_line_that_is_no_json_costs_only_itself() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    content = b'{"n": 1}\r\n\n{"n": \n{"n": 1, "n": 2}\n{"n": 1e999}\n\xff\n{"n": 2}'
    report = await import_records(kept.keeping, model, in_chunks(content, 3), on_error=OnError.SKIP)
    assert (report.created, report.failed) == (2, 4)
    assert [line for line, _, _ in report.errors] == [3, 4, 5, 6]


async def test_stop_stops_reading() -> None:
    kept = Kept()
    model = model_of(kept, TELEMETRY)
    good = [{"sensor": "s"}] * 2000
    content = lines(*good[:10], {"bad": 1}, *good)
    report = await import_records(kept.keeping, model, in_chunks(content))
    assert report.stopped
    assert report.failed == 1
    assert report.lines < 600


async def test_other_data_under_a_known_id_is_an_error_or_replaces_it() -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    await import_records(kept.keeping, model, in_chunks(lines({"id": "a", "data": {"n": 1}})))
    changed = lines({"id": "a", "data": {"n": 2}})
    assert (await import_records(kept.keeping, model, in_chunks(changed))).errors[0][1] == "conflict"
    report = await import_records(kept.keeping, model, in_chunks(changed), replace=True)
    assert (report.replaced, report.failed) == (1, 0)
    record = await kept.keeping.store.get("notes", "a")
    assert record is not None
    assert record.data == {"n": 2}


async def test_a_full_store_stops_even_an_import_that_skips() -> None:
    kept = Kept(MemoryRecords(limit_bytes=20_000))
    model = model_of(kept, NOTES)
    content = lines(*({"n": n, "filling": "x" * 100} for n in range(5000)))
    report = await import_records(kept.keeping, model, in_chunks(content), on_error=OnError.SKIP)
    assert report.stopped
    assert 0 < report.created < 200
    assert report.lines < 600
    assert {code for _, code, _ in report.errors} == {"storage-full"}
    assert len(report.errors) <= 100


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b'{"x": "' + b"y" * 2_000_000, BulkFormat.NDJSON),
        (b"\x7b" + b"\xff" * 8, BulkFormat.CBOR),
        (b"\x81" * 100_000, BulkFormat.CBOR),
        (b"\xa1", BulkFormat.CBOR),
        (b"\xff", BulkFormat.CBOR),
    ],
    ids=["endless line", "endless text", "deep", "cut off", "noise"],
)
async def test_a_hostile_stream_ends_the_import_with_a_reason(content: bytes, form: BulkFormat) -> None:
    kept = Kept()
    model = model_of(kept, NOTES)
    good = lines({"n": 1}) if form is BulkFormat.NDJSON else items({"n": 1})
    report = await import_records(
        kept.keeping, model, in_chunks(good + content, 65_536), form=form, on_error=OnError.SKIP
    )
    assert (report.created, report.failed, report.stopped) == (1, 1, True)
    assert report.errors[0][0] == 2


async def test_progress_is_told_and_many_writes_share_a_sync(tmp_path: Path) -> None:
    seen: list[int] = []

    def note(report: ImportReport) -> None:
        seen.append(report.lines)

    async with open_records(tmp_path) as records:
        kept = Kept(records)
        model = model_of(kept, NOTES)
        content = lines(*({"id": f"n{n}", "data": {"n": n}} for n in range(2000)))
        report = await import_records(kept.keeping, model, in_chunks(content, 65_536), progress=note)
        assert report.created == 2000
        assert records.statistics().syncs <= 24
    assert seen == [*range(256, 2000, 256), 2000]
