from __future__ import annotations

import pytest

from edgehost.domain.boot_record import FIRST_RETRY_S, LAST_RETRY_S, BootRecord, Ending


def begun(record: BootRecord, *, boot: str = "a", new: bool = False) -> BootRecord:
    return record.begun(pid=1, machine_boot=boot, generation=1, new_generation=new)


def crashed(times: int) -> BootRecord:
    record = begun(BootRecord())
    for _ in range(times):
        record = begun(record)
    return record


def test_the_end_is_told_by_what_was_written_and_whether_the_machine_ran_on() -> None:
    record = begun(BootRecord())
    assert record.ending("a") is Ending.DIED
    assert record.ending("b") is Ending.REBOOTED
    assert record.ended().ending("a") is Ending.CLEAN


def test_three_starts_in_a_row_that_were_never_well_lead_to_safe_mode() -> None:
    assert crashed(2).safe == ""
    assert "3 times" in crashed(3).safe
    assert crashed(9).safe


def test_a_host_that_was_well_and_is_killed_now_and_then_is_never_in_safe_mode() -> None:
    record = BootRecord()
    for _ in range(20):
        record = begun(record).proven()
    assert record.safe == ""


def test_clean_ends_count_nothing() -> None:
    record = BootRecord()
    for _ in range(20):
        record = begun(record).ended()
    assert begun(record).safe == ""


def test_safe_mode_stays_over_clean_restarts_and_ends_by_a_new_configuration() -> None:
    record = begun(crashed(3).proven().ended())
    assert record.safe
    assert begun(record.ended(), new=True).safe == ""


def test_after_safe_mode_there_are_three_tries_again() -> None:
    record = crashed(3).left_safe_mode(left_for="offer").ended()
    assert record.left_for == "offer"
    for _ in range(3):
        record = begun(record)
        assert not record.safe
    assert begun(record).safe


def test_the_pauses_of_safe_mode_double_up_to_a_day_and_begin_anew_after_a_good_run() -> None:
    record = crashed(3)
    pauses = []
    for _ in range(8):
        pauses.append(record.retry_s)
        record = record.left_safe_mode(by_itself=True).ended()
        for _ in range(4):
            record = begun(record)
        assert record.safe
    assert pauses[:3] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S]
    assert max(pauses) == LAST_RETRY_S
    assert begun(record.left_safe_mode(by_itself=True).ended()).proven().retry_s == FIRST_RETRY_S


def test_what_is_stored_is_what_was_known_and_nothing_else_is_read() -> None:
    record = crashed(3).proven(["b", "a"])
    assert record.down == "a,b"
    assert BootRecord.from_document(record.document()) == record
    with pytest.raises((ValueError, TypeError)):
        BootRecord.from_document({**record.document(), "unclean": "3"})
