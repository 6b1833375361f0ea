from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from edgehost.adapters.storage.life_files import BootRecordFile, CrashFolder, GenerationFolder
from edgehost.domain.boot_record import BootRecord
from edgehost.domain.crash_report import MOST_DETAIL, MOST_REPORTS, CrashReport
from edgehost.domain.errors import NotFoundError, RefusedError, StorageFullError
from edgehost.usecases.configuration_generations import ConfigurationGenerations
from tests.adapters.storage.faulty_disk import Aftermath, FailingDisk, Moment, PowerCutDisk, PowerCutError


def read(content: bytes) -> str:
    text = content.decode()
    if "bad" in text:
        raise RefusedError("It is bad.")
    return text


def opened(folder: Path, disk: PowerCutDisk | FailingDisk | None = None) -> ConfigurationGenerations[str]:
    return ConfigurationGenerations(GenerationFolder(folder / "config", disk), read=read, now=lambda: 0.0)


def lived(folder: Path, disk: PowerCutDisk | None = None) -> None:
    """A life with every kind of change."""
    generations = opened(folder, disk)
    generations.chosen(b"one")
    generations.confirm(1)
    generations.propose(b"two", "mqtt:ops")
    generations.fail(2, "no broker")
    generations.propose(b"three", "file", seen=True)


def test_a_power_cut_at_any_write_leaves_a_configuration_to_start_on(tmp_path: Path) -> None:
    counting = PowerCutDisk(tmp_path / "count")
    (tmp_path / "count").mkdir()
    lived(tmp_path / "count", counting)
    assert counting.steps > 30
    for step in range(1, counting.steps + 1):
        for moment in Moment:
            root = tmp_path / f"{step}-{moment.name}"
            root.mkdir()
            disk = PowerCutDisk(root, step, moment)
            with contextlib.suppress(PowerCutError):  # not every step can be cut halfway
                lived(root, disk)
            for aftermath in Aftermath:
                after = disk.left_behind(tmp_path / f"{step}-{moment.name}-{aftermath.name}", aftermath)
                found = opened(after).chosen(b"one")
                assert found.config in {"one", "two", "three"}
                assert opened(after).text(found.generation.number).decode() == found.config


def test_a_file_that_cannot_be_read_leaves_the_host_on_the_generation_before(tmp_path: Path) -> None:
    generations = opened(tmp_path)
    with pytest.raises(RefusedError):
        generations.chosen(b"bad")
    assert generations.chosen(b"one").config == "one"
    found = opened(tmp_path).chosen(b"bad")
    assert (found.config, found.refused) == ("one", "It is bad.")


def test_a_file_whose_trial_failed_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    generations = opened(tmp_path)
    generations.chosen(b"one")
    generations.confirm(1)
    assert generations.chosen(b"two").is_new
    generations.fail(2, "why")
    assert opened(tmp_path).chosen(b"two").config == "one"
    assert opened(tmp_path).chosen(b"three").config == "three"


def test_what_was_applied_stays_until_the_file_changes(tmp_path: Path) -> None:
    generations = opened(tmp_path)
    generations.chosen(b"one")
    generations.propose(b"applied", "operator")
    assert opened(tmp_path).chosen(b"one").config == "applied"
    assert opened(tmp_path).chosen(b"edited").config == "edited"


def test_a_damaged_text_falls_back_and_a_damaged_table_begins_anew_with_a_new_number(tmp_path: Path) -> None:
    generations = opened(tmp_path)
    generations.chosen(b"one")
    generations.confirm(1)
    generations.propose(b"two", "operator")
    (tmp_path / "config" / "000002.toml").write_bytes(b"tow")
    with pytest.raises(NotFoundError, match="damaged"):
        opened(tmp_path).text(2)
    found = opened(tmp_path).chosen(b"one")
    assert (found.config, found.generation.number) == ("one", 1)
    (tmp_path / "config" / "generations.json").write_bytes(b"{")
    found = opened(tmp_path).chosen(b"one")
    assert (found.config, found.generation.number) == ("one", 3)


def test_when_every_text_is_lost_the_file_is_taken_as_it_is(tmp_path: Path) -> None:
    generations = opened(tmp_path)
    generations.chosen(b"one")
    generations.confirm(1)
    (tmp_path / "config" / "000001.toml").unlink()
    found = opened(tmp_path).chosen(b"one")
    assert (found.config, found.generation.number) == ("one", 2)


def test_a_full_disk_keeps_no_host_from_starting(tmp_path: Path) -> None:
    opened(tmp_path).chosen(b"one")
    full = opened(tmp_path, FailingDisk(1, lasting=True))
    found = full.chosen(b"two")
    assert found.config == "one"
    assert "no room" in found.refused
    with pytest.raises(StorageFullError):
        full.propose(b"three", "operator")
    BootRecordFile(tmp_path / "boot.json", FailingDisk(1, lasting=True)).keep(BootRecord())
    CrashFolder(tmp_path / "crashes", FailingDisk(1, lasting=True)).add(CrashReport("died", "", 0.0, "0"))


def test_a_damaged_boot_record_begins_anew(tmp_path: Path) -> None:
    file = BootRecordFile(tmp_path / "boot.json")
    file.keep(BootRecord(unclean=2))
    assert file.load().unclean == 2
    for content in (b"{", b"[]", b'{"unclean": "x"}', b'{"other": 1}', b"\0" * 10_000):
        (tmp_path / "boot.json").write_bytes(content)
        assert file.load() == BootRecord()


def test_crash_reports_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    folder = CrashFolder(tmp_path)
    for number in range(MOST_REPORTS + 5):
        folder.add(CrashReport("exception", f"no {number}", 0.0, "0", detail="é\0" * MOST_DETAIL + "end"))
    reports = folder.all()
    assert len(reports) == MOST_REPORTS
    assert reports[-1].number == MOST_REPORTS + 5
    assert reports[-1].detail.endswith("end")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MOST_REPORTS * 8 * MOST_DETAIL
