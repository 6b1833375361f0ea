"""What an order to a rollout names must be there, or may still come."""

from __future__ import annotations

import pytest

from edgehost.domain.rollout_numbers import order_fault, order_note, wave_fault
from edgehost.domain.rollout_report import RolloutOrder


@pytest.mark.parametrize("order", [RolloutOrder.APPROVE, RolloutOrder.RESUME])
def test_a_wave_that_a_deployment_does_not_have_is_named_with_those_that_it_has(order: RolloutOrder) -> None:
    assert wave_fault(order, "site", 4, 1, 2) == ""
    assert wave_fault(order, "site", 4, 2, 2) == "Sequence 4 of site has waves 0 to 1; there is no wave 2."
    assert wave_fault(order, "site", 4, 1, 1) == "Sequence 4 of site has wave 0 alone; there is no wave 1."
    assert wave_fault(order, "site", 4, 7, 0) == ""  # nobody has told how many there are


def test_orders_that_name_no_wave_have_none_to_be_wrong_about() -> None:
    assert wave_fault(RolloutOrder.HALT, "site", 4, 9, 1) == ""


def test_a_sequence_below_what_a_host_has_is_gone_and_one_beyond_may_come() -> None:
    held = {3: 2, 4: 1}
    assert order_fault(RolloutOrder.HALT, "site", 3, 0, held) == ""
    assert order_fault(RolloutOrder.HALT, "site", 5, 0, held) == ""
    assert order_fault(RolloutOrder.HALT, "site", 2, 0, {}) == ""
    gone = "This host has sequence 3, 4 of site; 2 is not there any more."
    assert order_fault(RolloutOrder.HALT, "site", 2, 0, held) == gone
    assert "no wave 1" in order_fault(RolloutOrder.APPROVE, "site", 4, 1, held)


def test_an_order_that_is_kept_for_later_is_told_as_such() -> None:
    assert order_note("site", 3, {3: 1}) == ""
    ahead = "This host has not taken in sequence 9 of site; it has 3. The order holds when it does."
    assert order_note("site", 9, {3: 1}) == ahead
    assert "it has none" in order_note("site", 9, {})
