"""TinyDB on the journal answers as stock TinyDB does, and what it was told is there after a restart."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tinydb import TinyDB, where
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from edgehost.adapters.storage.tinydb_journal import JournalDB, JournalTable
from edgehost.domain.errors import InvalidRecordError, TooLargeError, UnavailableError
from tests.adapters.storage.faulty_disk import FailingDisk, UnsyncedDisk

NAMES = st.sampled_from(["_default", "readings", "other.table"])
VALUES = st.integers(0, 5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)


class AsStockTinyDB(RuleBasedStateMachine):
    """The same calls to both; documents, ids and order must agree, through restarts and compactions."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edgehost-test-"))
        self.ours = JournalDB(self.folder, disk=UnsyncedDisk(), min_dead_bytes=300)
        self.stock = TinyDB(storage=MemoryStorage)
        self.used: set[str] = set()

    def both(self, name: str) -> tuple[Any, Any]:
        self.used.add(name)
        return self.ours.table(name), self.stock.table(name)

    @rule(name=NAMES, value=VALUES, extra=JSON)
    def insert(self, name: str, value: int, extra: Any) -> None:
        ours, stock = self.both(name)
        document = {"value": value, "extra": extra}
        assert ours.insert(document) == stock.insert(document)

    @rule(name=NAMES, values=st.lists(VALUES, max_size=4))
    def insert_multiple(self, name: str, values: list[int]) -> None:
        ours, stock = self.both(name)
        documents = [{"value": value} for value in values]
        assert ours.insert_multiple(documents) == stock.insert_multiple(documents)

    @rule(name=NAMES, value=VALUES, new=VALUES)
    def update(self, name: str, value: int, new: int) -> None:
        ours, stock = self.both(name)
        condition = where("value") == value
        assert ours.update({"value": new}, condition) == stock.update({"value": new}, condition)

    @rule(name=NAMES, doc_id=st.integers(1, 8))
    def update_in_place_by_id(self, name: str, doc_id: int) -> None:
        def change(document: Any) -> None:
            document.setdefault("list", []).append(doc_id)

        ours, stock = self.both(name)
        assert ours.update(change, doc_ids=[doc_id]) == stock.update(change, doc_ids=[doc_id])

    @rule(name=NAMES, value=VALUES, new=VALUES)
    def upsert(self, name: str, value: int, new: int) -> None:
        ours, stock = self.both(name)
        condition = where("value") == value
        assert ours.upsert({"value": new}, condition) == stock.upsert({"value": new}, condition)

    @rule(name=NAMES, value=VALUES)
    def remove(self, name: str, value: int) -> None:
        ours, stock = self.both(name)
        if len(stock) and max(document.doc_id for document in stock) in {
            document.doc_id for document in stock.search(where("value") == value)
        }:
            return  # stock TinyDB may give the last id out again; ours never does
        condition = where("value") == value
        assert sorted(ours.remove(condition)) == sorted(stock.remove(condition))

    @rule(name=NAMES, value=VALUES)
    def look(self, name: str, value: int) -> None:
        ours, stock = self.both(name)
        condition = where("value") >= value
        assert ours.search(condition) == stock.search(condition)
        assert ours.count(condition) == stock.count(condition)
        assert ours.contains(condition) == stock.contains(condition)
        assert ours.get(doc_id=value) == stock.get(doc_id=value)
        assert ours.get(doc_ids=[1, 2, value]) == stock.get(doc_ids=[1, 2, value])

    @precondition(lambda self: self.used)
    @rule()
    def restart(self) -> None:
        self.ours.close()
        self.ours = JournalDB(self.folder, disk=UnsyncedDisk(), min_dead_bytes=300)

    @rule()
    def compact(self) -> None:
        self.ours.storage.compact()

    @invariant()
    def the_same_is_stored(self) -> None:
        for name in self.used:
            ours = {document.doc_id: document for document in self.ours.table(name)}
            stock = {document.doc_id: document for document in self.stock.table(name)}
            assert ours == stock
            assert list(ours) == list(stock)
        assert self.ours.storage.journal.damages == []

    def teardown(self) -> None:
        self.ours.close()
        shutil.rmtree(self.folder)


TestAsStockTinyDB = AsStockTinyDB.TestCase
TestAsStockTinyDB.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def opened(folder: Path, **options: Any) -> JournalDB:
    return JournalDB(folder, disk=options.pop("disk", UnsyncedDisk()), **options)


def test_what_was_read_can_be_changed_without_changing_what_is_stored(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.insert({"list": [1]})
        for document in (
            database.get(doc_id=1),
            database.all()[0],
            database.search(where("list").any([1]))[0],
        ):
            document["list"].append(2)
        assert database.all() == [{"list": [1]}]
        tables = database.storage.read()
        assert tables is not None
        tables["_default"]["1"]["list"].append(3)
        assert database.all() == [{"list": [1]}]


def test_a_failed_update_leaves_the_documents_as_they_were(tmp_path: Path) -> None:
    disk = FailingDisk()
    with opened(tmp_path, disk=disk) as database:
        database.insert_multiple([{"n": 1}, {"n": 2}])
        disk._fail_at = disk.steps + 1
        with pytest.raises(UnavailableError):
            database.update({"n": 3})
        assert database.all() == [{"n": 1}, {"n": 2}]
        with pytest.raises(ZeroDivisionError):
            database.update(lambda document: document.update(n=1 / 0), doc_ids=[1])
        assert database.all() == [{"n": 1}, {"n": 2}]


def test_tables_can_be_emptied_and_dropped_and_ids_are_not_given_out_again(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.insert_multiple([{"n": 1}, {"n": 2}])
        database.table("other").insert({"n": 3})
        database.truncate()
        assert database.insert({"n": 4}) == 3
        database.drop_table("other")
        assert database.tables() == {"_default"}
        database.drop_table("other")
    with opened(tmp_path) as database:
        assert database.tables() == {"_default"}
        assert database.table("other").insert({"n": 5}) == 2
        database.drop_tables()
        database.storage.compact()
    with opened(tmp_path) as database:
        assert database.tables() == set()
        assert database.insert({"n": 6}) == 4


def test_whole_tables_can_be_written_as_other_storages_take_them(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.insert_multiple([{"n": 1}, {"n": 2}])
        database.storage.write({"_default": {"2": {"n": 20}}, "new": {"7": {"n": 7}}})
        assert database.get(doc_id=2) == {"n": 20}
        assert database.table("new").insert({"n": 8}) == 8
        assert len(database) == 1


def test_inserting_a_document_with_a_taken_id_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.insert(Document({"n": 1}, 5))
        with pytest.raises(ValueError, match="already exists"):
            database.insert(Document({"n": 2}, 5))
        with pytest.raises(ValueError, match="already exists"):
            database.insert_multiple([Document({"n": 2}, 5)])
        assert database.insert({"n": 3}) == 6


def test_many_documents_at_once_are_one_line_all_or_none(tmp_path: Path) -> None:
    with opened(tmp_path, max_document_bytes=2000) as database:
        database.insert_multiple({"n": n} for n in range(50))
        assert (tmp_path / "records-000001.journal").read_bytes().count(b"\n") == 1
        with pytest.raises(TooLargeError):
            database.insert_multiple({"n": n} for n in range(500))
        with pytest.raises(TooLargeError):
            database.insert({"text": "x" * 2000})
        assert len(database) == 50


@pytest.mark.parametrize("document", [{"n": float("nan")}, {"n": {1}}, {"n": b""}])
def test_what_is_no_json_is_refused(tmp_path: Path, document: Any) -> None:
    with opened(tmp_path) as database, pytest.raises(InvalidRecordError):
        database.insert(document)


@pytest.mark.parametrize("name", ["a b", "", "a\n", "x" * 65])
def test_a_table_name_that_could_break_a_line_is_refused(tmp_path: Path, name: str) -> None:
    with opened(tmp_path) as database, pytest.raises(InvalidRecordError):
        database.table(name).insert({"n": 1})


def test_an_insert_appends_one_short_line_whatever_is_stored(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        table = database.table("readings")
        assert isinstance(table, JournalTable)
        counters = database.storage.journal.counters
        costs = []
        for _ in range(2000):
            before = counters.bytes_appended
            table.insert({"value": 1})
            costs.append(counters.bytes_appended - before)
        assert max(costs) - min(costs) <= 3  # the id grows to four digits
        assert counters.compactions == 0


def test_a_base_that_stock_tinydb_opens_holds_every_document(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        database.insert_multiple({"n": n, "nested": {"list": [n, None, 0.1]}} for n in range(10))
        database.insert({})
        database.storage.compact()
        path = database.storage.journal.base_path
        assert path is not None
    with TinyDB(path, access_mode="r") as stock:
        assert stock.get(where("n") == 3)["nested"] == {"list": [3, None, 0.1]}
        assert len(stock) == 11
    assert set(json.loads(path.read_text())["_default"]["11"]) == {"_check"}
