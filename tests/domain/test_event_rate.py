"""How many events a component may publish."""

from __future__ import annotations

from edgehost.domain.event_rate import EventRate


def test_a_component_may_publish_so_many_a_second_and_others_are_not_held_up() -> None:
    rate = EventRate(per_s=10)
    assert [rate.admits("loud", 0.0) for _ in range(15)] == [True] * 10 + [False] * 5
    assert rate.admits("quiet", 0.0)
    assert rate.to_tell("loud", 0.0) == 5
    assert not rate.admits("loud", 0.05)
    assert rate.to_tell("loud", 0.5) == 0
    assert rate.admits("loud", 0.15)
    assert rate.to_tell("loud", 1.0) == 1


def test_what_is_remembered_is_bounded() -> None:
    rate = EventRate(per_s=10)
    for number in range(5000):
        rate.admits(f"c{number}", number / 100)
    assert len(rate._buckets) <= 1001
