"""Whether what an order to a rollout names is there: the sequence among those that are known, the wave among its waves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgehost.domain.rollout_report import RolloutOrder

#: Orders that name a wave.
_OF_WAVES: Final = frozenset({RolloutOrder.APPROVE, RolloutOrder.RESUME})


def wave_fault(order: RolloutOrder, deployment: str, sequence: int, wave: int, waves: int) -> str:
    """What is wrong with the wave that an order names; "" when nothing is, or ``waves`` is 0: how many is not known."""
    if order not in _OF_WAVES or not waves or wave < waves:
        return ""
    has = f"waves 0 to {waves - 1}" if waves > 1 else "wave 0 alone"
    return f"Sequence {sequence} of {deployment} has {has}; there is no wave {wave}."


def order_fault(
    order: RolloutOrder, deployment: str, sequence: int, wave: int, held: Mapping[int, int]
) -> str:
    """Why an order is about nothing that a host has or may still get; ``held`` are its sequences and their waves.

    A sequence beyond those may be on its way, so that an order may come before it; one below is gone for good.
    """
    if sequence in held:
        return wave_fault(order, deployment, sequence, wave, held[sequence])
    if held and sequence < max(held):
        return f"This host has sequence {numbers(held)} of {deployment}; {sequence} is not there any more."
    return ""


def order_note(deployment: str, sequence: int, held: Mapping[int, int]) -> str:
    """What is to be said to an order that is kept for a sequence which the host does not have; "" when it has it."""
    if sequence in held:
        return ""
    has = f"it has {numbers(held)}" if held else "it has none"
    return f"This host has not taken in sequence {sequence} of {deployment}; {has}. The order holds when it does."


def numbers(sequences: Mapping[int, int]) -> str:
    """For people, the smallest first."""
    return ", ".join(str(each) for each in sorted(sequences))
