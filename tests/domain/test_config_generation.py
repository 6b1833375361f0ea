from __future__ import annotations

import pytest

from edgehost.domain.config_generation import MOST_KEPT, Generations, Standing
from edgehost.domain.errors import ConflictError, NotFoundError


def proposed(count: int, *, good: tuple[int, ...] = ()) -> Generations:
    generations = Generations()
    for number in range(1, count + 1):
        generations = generations.proposed(f"digest-{number}", "file", at=0.0)
        if number in good:
            generations = generations.confirmed(number)
    return generations


def chosen(generations: Generations) -> int | None:
    return None if generations.chosen is None else generations.chosen.number


def test_the_newest_runs_while_it_is_on_trial_and_the_last_good_one_when_it_failed() -> None:
    generations = proposed(2, good=(1,))
    assert chosen(generations) == 2
    assert chosen(generations.failed(2, "no broker")) == 1
    assert chosen(generations.confirmed(2)) == 2


def test_a_generation_that_was_replaced_on_trial_is_never_gone_back_to() -> None:
    generations = proposed(3, good=(1,))
    assert generations.require(2).standing is Standing.SUPERSEDED
    assert chosen(generations.failed(3, "")) == 1


def test_one_unclean_end_condemns_no_configuration_and_two_do() -> None:
    generations = proposed(2, good=(1,)).ended_uncleanly(2)
    assert chosen(generations) == 2
    generations = generations.ended_uncleanly(2)
    assert chosen(generations) == 1
    assert "2 times" in generations.require(2).reason


def test_without_a_good_one_there_is_nothing_to_go_back_to() -> None:
    generations = proposed(1).ended_uncleanly(1).ended_uncleanly(1).ended_uncleanly(1)
    assert chosen(generations) == 1
    with pytest.raises(ConflictError, match="no earlier"):
        generations.taken_back("an operator")


def test_going_back_twice_goes_back_twice() -> None:
    generations = proposed(3, good=(1, 2, 3)).taken_back("a")
    assert chosen(generations) == 2
    assert chosen(generations.taken_back("b")) == 1


def test_the_last_good_one_is_never_forgotten() -> None:
    generations = proposed(1, good=(1,))
    for _ in range(3 * MOST_KEPT):
        generations = generations.proposed("x", "file", at=0.0)
        generations = generations.failed(generations.all[-1].number, "")
    assert len(generations.all) <= MOST_KEPT
    assert chosen(generations) == 1
    with pytest.raises(NotFoundError, match="Known: 1, "):
        generations.require(2)


def test_what_is_stored_is_what_was_known() -> None:
    generations = proposed(3, good=(1,)).failed(3, "why")
    assert Generations.from_document(generations.document()) == generations
