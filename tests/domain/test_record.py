"""Revisions only grow, and sort as their text does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidRecordError
from edgehost.domain.record import Revision, RevisionClock, require_record_id

WALL_MS = st.integers(0, 2**47)
HOSTS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
REVISIONS = st.builds(Revision, WALL_MS, st.integers(0, 0xFFFF), HOSTS)


@given(st.lists(WALL_MS | st.just(1000), max_size=50), st.lists(REVISIONS, max_size=5))
def test_a_clock_never_repeats_or_goes_back_whatever_the_wall_clock_does(
    walls: list[int], foreign: list[Revision]
) -> None:
    clock = RevisionClock("host")
    last = Revision(-1, 0, "")
    for number, wall_ms in enumerate(walls):
        if number < len(foreign):
            clock.seen(foreign[number])
            last = max(last, Revision(foreign[number].wall_ms, foreign[number].counter, ""))
        revision = clock.next(wall_ms)
        assert (revision.wall_ms, revision.counter) > (last.wall_ms, last.counter)
        assert revision.wall_ms >= wall_ms
        last = revision


def test_a_standing_wall_clock_counts_on_into_the_next_millisecond() -> None:
    clock = RevisionClock("host")
    revisions = [clock.next(1000) for _ in range(0x10000 + 2)]
    assert revisions[-2:] == [Revision(1001, 0, "host"), Revision(1001, 1, "host")]
    assert len(set(revisions)) == len(revisions)
    assert clock.next(1001) == Revision(1001, 2, "host")
    assert clock.next(2000) == Revision(2000, 0, "host")


def test_a_clock_stays_ahead_of_what_others_wrote_and_ignores_what_is_behind() -> None:
    clock = RevisionClock("host")
    clock.seen(Revision(5000, 7, "other"))
    assert clock.next(1000) == Revision(5000, 8, "host")
    clock.seen(Revision(4000, 0xFFFF, "other"))
    assert clock.next(1000) == Revision(5000, 9, "host")


@given(REVISIONS, REVISIONS)
def test_revisions_sort_as_their_text_does_and_survive_it(one: Revision, other: Revision) -> None:
    assert Revision.parse(str(one)) == one
    assert (one < other) == (str(one) < str(other))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "018bcfe56800-0000-",
        "018bcfe56800-0000",
        "018BCFE56800-0000-host",
        "18bcfe56800-0000-host",
        "018bcfe56800-0000-a host",
        "018bcfe56800-0000-host\n",
        "018bcfe56800-0000-" + "h" * 65,
        "x" * 10_000,
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_what_is_no_revision_is_refused_with_a_short_message(text: str) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        Revision.parse(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["a", "A1._-", "0", "x" * 128])
def test_an_id_that_urls_files_and_topics_allow_is_itself(text: str) -> None:
    assert require_record_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "-a", "_a", "a/b", "a b", "a+", "a#", "é", "a\n", "x" * 129])
def test_any_other_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        require_record_id(text)
