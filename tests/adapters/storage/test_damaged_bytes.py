"""[store-1] A flipped bit is noticed, named, and costs no other document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgehost.adapters.storage.damage_notes import MAX_SET_ASIDE_BYTES
from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.document_codec import encode_document
from edgehost.adapters.storage.journal_lines import (
    Change,
    base_file,
    base_line,
    changes_in,
    journal_line,
    parse_base_line,
)
from edgehost.adapters.storage.journal_reading import MAX_DAMAGES
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.domain.errors import DamagedError, UnavailableError
from tests.adapters.storage.faulty_disk import UnsyncedDisk

State = dict[tuple[str, int], bytes]
JOURNAL = "records-000001.journal"
BASE = "records-000002.json"


def state_of(storage: JournalStorage) -> State:
    return {(t, n): raw for t, documents in storage.documents.items() for n, raw in documents.items()}


def opened(folder: Path, disk: Disk | None = None) -> JournalStorage:
    return JournalStorage(folder, disk=disk or UnsyncedDisk(), min_dead_bytes=1 << 30)


def put(doc_id: int, value: object, table: str = "a") -> Change:
    return Change("put", table, doc_id, encode_document({"value": value}))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "filled"
    storage = opened(folder)
    for number in range(1, 5):
        storage.apply([put(number, f"value {number}")])
    storage.apply([put(1, "in another table", "b")])
    storage.apply([put(2, "changed")])
    storage.apply([Change("del", "a", 3)])
    storage.apply([put(5, "last")])
    storage.close()
    return folder


def flips_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            yield place, bytes(changed)


def lost_between(before: State, found: State) -> set[tuple[str, int]]:
    return {key for key in before.keys() | found.keys() if before.get(key) != found.get(key)}


def test_a_flipped_bit_anywhere_in_a_journal_costs_one_document_at_most_and_is_reported(filled: Path) -> None:
    path = filled / JOURNAL
    content = path.read_bytes()
    storage = opened(filled)
    before = state_of(storage)
    storage.close()
    assert not storage.journal.damages
    for place, changed in flips_of(content):
        path.write_bytes(changed)
        (filled / "records.damaged").unlink(missing_ok=True)
        storage = opened(filled)
        assert len(lost_between(before, state_of(storage))) <= 1, place
        assert storage.journal.damages, place
        storage.close()


def test_a_flipped_bit_anywhere_in_a_compacted_file_costs_nothing_while_the_generation_before_is_there(
    filled: Path,
) -> None:
    storage = opened(filled)
    storage.compact()
    before = state_of(storage)
    storage.close()
    path = filled / BASE
    for place, changed in flips_of(path.read_bytes()):
        path.write_bytes(changed)
        (filled / "records.damaged").unlink(missing_ok=True)
        storage = opened(filled)
        assert state_of(storage) == before, place
        assert storage.journal.damages, place
        storage.close()


def test_a_flipped_bit_anywhere_in_a_compacted_file_that_stands_alone_costs_one_document_at_most(
    filled: Path,
) -> None:
    storage = opened(filled)
    storage.compact()
    before = state_of(storage)
    storage.close()
    (filled / JOURNAL).unlink()
    path = filled / BASE
    for place, changed in flips_of(path.read_bytes()):
        path.write_bytes(changed)
        (filled / "records.damaged").unlink(missing_ok=True)
        storage = opened(filled)
        assert len(lost_between(before, state_of(storage))) <= 1, place
        assert storage.journal.damages, place
        storage.close()


@pytest.mark.parametrize("cut", [1, 30, 90])
def test_a_compacted_file_that_lost_its_end_is_reported_and_made_whole(filled: Path, cut: int) -> None:
    storage = opened(filled)
    storage.compact()
    before = state_of(storage)
    storage.close()
    path = filled / BASE
    path.write_bytes(path.read_bytes()[:-cut])
    storage = opened(filled)
    assert state_of(storage) == before
    assert any("missing" in str(damage) for damage in storage.journal.damages)
    storage.close()


def test_the_damaged_bytes_are_set_aside_and_the_next_start_is_clean(filled: Path) -> None:
    path = filled / JOURNAL
    path.write_bytes(path.read_bytes().replace(b"value 2", b"value X").replace(b"value 4", b"value Y"))
    storage = opened(filled)
    state = state_of(storage)
    assert ("a", 4) not in state
    assert [damage.file for damage in storage.journal.damages] == [JOURNAL, JOURNAL]
    storage.compact_if_worthwhile()
    storage.close()
    kept = (filled / "records.damaged").read_text()
    assert "value X" in kept
    assert "value Y" in kept
    storage = opened(filled)
    assert storage.journal.damages == []
    assert state_of(storage) == state
    storage.close()


def test_what_is_set_aside_stays_bounded(filled: Path) -> None:
    path = filled / JOURNAL
    content = path.read_bytes()
    line = content[: content.index(b"\n") + 1]
    garbage = b"".join(b"%d garbage %s\n" % (n, b"g" * 1500) + line for n in range(MAX_DAMAGES + 50))
    path.write_bytes(content + garbage)
    storage = opened(filled)
    assert len(storage.journal.damages) == MAX_DAMAGES
    storage.close()
    assert (filled / "records.damaged").stat().st_size <= MAX_SET_ASIDE_BYTES


def test_a_line_longer_than_any_document_is_never_read_whole(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b"x" * 100_000 + b"\n" + journal_line([put(1, "after")]))
    storage = JournalStorage(tmp_path, disk=UnsyncedDisk(), max_document_bytes=1000)
    assert list(state_of(storage)) == [("a", 1)]
    (damage,) = storage.journal.damages
    assert damage.size_bytes == 100_001
    storage.close()


def test_a_missing_journal_is_reported(filled: Path) -> None:
    storage = opened(filled)
    storage.compact()
    storage.apply([put(9, "newer")])
    storage.close()
    (filled / "records-000002.journal").unlink()
    storage = opened(filled)
    assert [str(damage) for damage in storage.journal.damages] == [
        "records-000002.journal, byte 0: the file is missing (0 bytes)."
    ]
    assert ("a", 5) in state_of(storage)
    storage.close()


def test_a_missing_compacted_file_is_replaced_by_the_generation_before(filled: Path) -> None:
    storage = opened(filled)
    storage.compact()
    storage.apply([put(9, "newer")])
    before = state_of(storage)
    storage.close()
    (filled / BASE).unlink()
    storage = opened(filled)
    assert state_of(storage) == before
    storage.close()


def test_a_journal_of_a_later_version_is_not_half_understood(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(journal_line([Change("mend", "a", 1)]))
    with pytest.raises(DamagedError, match="does not know"):
        opened(tmp_path)
    opened(tmp_path / "another").close()
    with pytest.raises(DamagedError):
        changes_in(b"put x a {}")


def test_a_journal_that_cannot_be_read_says_so_and_lets_the_folder_go(filled: Path) -> None:
    (filled / JOURNAL).unlink()
    (filled / JOURNAL).mkdir()
    with pytest.raises(UnavailableError, match="filled"):
        opened(filled)
    (filled / JOURNAL).rmdir()
    opened(filled).close()


def test_an_empty_document_has_a_line_too() -> None:
    line = base_line("a", 1, b"{}")
    assert json.loads(b"{" + line + b"}")["1"].keys() == {"_check"}
    assert parse_base_line(line) == Change("put", "a", 1, b"{}")
    assert json.loads(b"".join(base_file([]))) == {}
    assert json.loads(b"".join(base_file([("a", []), ("b", [(1, b"{}")])]))).keys() == {"a", "b"}
