"""Opening what lies in a folder: in a thread, since a disk may take its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

StoreT = TypeVar("StoreT")


async def opened_in_thread(make: Callable[[], StoreT], give_back: Callable[[StoreT], None]) -> StoreT:
    """What ``make`` opens; when nobody waits for it any more it is given back as soon as it is open."""

    def close_unused(opening: asyncio.Future[StoreT]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            give_back(opening.result())

    opening = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(close_unused)
        raise
