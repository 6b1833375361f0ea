from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.backoff import Backoff


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_cap_nor_than_its_doubling(attempt: int, chance: float) -> None:
    backoff = Backoff(base_s=0.5, cap_s=60)
    assert 0 <= backoff.delay_s(attempt, chance) <= min(60, 0.5 * 2.0 ** min(attempt, 40))


def test_chance_spreads_the_wait_over_the_whole_span() -> None:
    assert [Backoff(1, 60).delay_s(3, chance) for chance in (0, 0.5, 1)] == [0, 4, 8]
