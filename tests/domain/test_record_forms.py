from __future__ import annotations

from dataclasses import replace

import pytest

from edgehost.domain.record_forms import RecordForm, Way, way_to

FIRST = RecordForm("orders", "2.0.0", "b" * 64, "1.0.0", done=True)
SECOND = FIRST.followed_by("orders", "3.0.0", "c" * 64, "2.1.0", 5.0)


def way(form: RecordForm | None, version: str, *, migrates: bool = True, last: str = "1.0.0") -> Way:
    return way_to(form, version=version, digest=version, migrates=migrates, from_version=last)


@pytest.mark.parametrize(
    ("form", "version", "found"),
    [
        (None, "2.0.0", Way.MIGRATE),
        (FIRST, "2.1.0", Way.MIGRATE),
        (FIRST, "1.0.0", Way.RESTORE),
        (FIRST, "2.0.0-rc.1", Way.RESTORE),
        (replace(FIRST, kept=False), "1.0.0", Way.NONE),
        (SECOND, "2.5.0", Way.RESTORE),
        (SECOND, "2.0.0", Way.RESTORE),
        (SECOND, "1.9.0", Way.NONE),  # what is kept has the form of 2.0.0, which 1.9.0 does not know either
    ],
)
def test_a_release_finds_its_way_to_the_records(form: RecordForm | None, version: str, found: Way) -> None:
    assert way(form, version) is found


def test_without_an_export_or_an_earlier_release_records_stay_as_they_are() -> None:
    assert way(None, "2.0.0", migrates=False) is Way.AS_THEY_ARE
    assert way(None, "1.0.0", last="") is Way.AS_THEY_ARE
    assert way(FIRST, "2.0.1", migrates=False) is Way.AS_THEY_ARE


def test_the_release_of_the_form_itself_needs_nothing() -> None:
    same = way_to(FIRST, version="2.0.0", digest=FIRST.digest, migrates=True, from_version="2.0.0")
    assert same is Way.AS_THEY_ARE


def test_a_form_reads_back_as_it_was_noted_and_remembers_one_before_it() -> None:
    assert RecordForm.from_document(SECOND.to_document()) == SECOND
    assert SECOND.before == FIRST
    third = SECOND.followed_by("orders", "4.0.0", "d" * 64, "3.0.0", 6.0)
    assert third.before == replace(SECOND, earlier=None)
    assert FIRST.before is None
