"""What a host remembers of the orders to rollouts that it obeyed: none of them is obeyed again."""

from __future__ import annotations

import pytest

from edgehost.domain.fleet_journal import MOST_ORDERS, Journal
from edgehost.usecases.command_book import CommandBook
from tests.usecases.command_scene import NOW, MemoryStore, StandingClock


async def opened(store: MemoryStore) -> CommandBook:
    """The book as the next start of the host reads it."""
    book = CommandBook(store, StandingClock())
    await book.open()
    return book


async def test_an_order_of_a_rollout_that_was_forgotten_is_not_obeyed_again() -> None:
    store = MemoryStore()
    book = await opened(store)
    await book.note_order("first", NOW)
    await book.note_order("first", NOW + 0.5)
    for number in range(MOST_ORDERS):
        await book.note_order(f"later-{number}", NOW + 1 + number)
    for each in (book, await opened(store)):
        assert "first" not in each.journal.orders
        # A rollout obeys what was issued at this moment or later.
        assert each.journal.oldest_order("first") > NOW + 0.5
        assert each.journal.oldest_order("never-seen") <= NOW + 1
        assert each.journal.oldest_order("later-0") == NOW + 1


async def test_the_floor_never_sinks() -> None:
    journal = Journal()
    for number in range(MOST_ORDERS + 10):
        journal = journal.with_order(f"rollout-{number}", NOW + number)
    floor = journal.orders_floor
    journal = journal.with_order("slow-clock", 1.0)  # the oldest of all is forgotten at once
    assert journal.orders_floor == floor == NOW + 9
    assert journal.oldest_order("slow-clock") > floor
    assert len(journal.orders) == MOST_ORDERS


async def test_a_host_that_has_obeyed_few_orders_obeys_old_ones_to_other_rollouts() -> None:
    book = await opened(MemoryStore())
    await book.note_order("spring", NOW)
    assert book.journal.oldest_order("autumn") == 0.0


async def test_a_host_that_lost_its_memory_obeys_no_order_of_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = await opened(MemoryStore(content=b"[]"))
    assert "is lost" in caplog.text
    assert book.journal.oldest_order("spring") > NOW
