"""How long the event loop stands still while something is done in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable


async def longest_pause_ms(work: Awaitable[object]) -> float:
    """The longest time in milliseconds for which nothing else had a turn."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - start)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        await asyncio.sleep(0)
        await work
        watching.cancel()
    return longest * 1e3
