"""What a host in safe mode waits for: releases that it has not seen, or the end of a pause."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable

from edgehost.domain.errors import EdgehostError, UnavailableError
from edgehost.ports.clock import Clock
from edgehost.usecases.follow_remote import FollowRemote
from edgehost.usecases.keep_following import RemoteHealth

log = logging.getLogger("edgehost.life")

Leave = Callable[[str, bool], Awaitable[None]]


async def leave_after(pause_s: float, leave: Leave) -> None:
    """Leave safe mode when the pause is over: the cause may have passed."""
    await asyncio.sleep(pause_s)
    log.warning("Safe mode ends by itself after %.0f s, to see whether its cause has passed.", pause_s)
    await leave("", True)  # noqa: FBT003 - by itself


async def leave_for_news(
    follower: FollowRemote,
    health: RemoteHealth,
    news: asyncio.Event,
    *,
    poll_s: float,
    clock: Clock,
    left_for: str,
    leave: Leave,
) -> None:
    """Leave safe mode when the remote offers a release that this host has never had; not for the same ones twice."""
    while True:
        news.clear()
        try:
            new = await follower.unseen()
        except EdgehostError as problem:
            health.state = "unreachable" if isinstance(problem, UnavailableError) else "refused"
            health.reason = problem.message
        else:
            health.state, health.reason, health.checked_at = "ok", "", clock.now()
            offered = hashlib.sha256("\n".join(sorted(new)).encode()).hexdigest()[:32]
            if new and offered != left_for:
                log.warning("Safe mode ends: the remote '%s' offers what was not here before.", health.name)
                await leave(offered, False)  # noqa: FBT003 - for news
                return
        try:
            async with asyncio.timeout(poll_s):
                await news.wait()
        except TimeoutError:
            continue
