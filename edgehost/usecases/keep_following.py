"""Stay with a remote for as long as the host runs: at once when it tells of news, else now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError, UnavailableError, UntrustedReleaseError
from edgehost.domain.events import RemoteLost, RemoteRefused
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.remote import LinkedRemote, Remote
from edgehost.usecases.follow_remote import FollowRemote

log = logging.getLogger("edgehost.remote")


@dataclass(slots=True)
class RemoteHealth:
    """How it stands with a remote, for ``status`` and ``doctor``."""

    name: str
    state: str = "not asked yet"  # then: "ok", "unreachable", "refused"; "not followed": see the reason
    reason: str = ""
    checked_at: float = 0.0  # unix seconds of the last good check
    failures: int = 0  # in a row, releases that could not be started included


async def keep_following(
    follow: FollowRemote,
    remote: Remote,
    health: RemoteHealth,
    *,
    poll_s: float,
    bus: EventBus,
    clock: Clock,
    news: asyncio.Event,
    backoff: Backoff = Backoff(),
) -> None:
    """Catch up until cancelled, at once when ``news`` is set. Whatever the remote does, what runs keeps running."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_hear(remote, news), name=f"edgehost.remote.{remote.name}.changes")
        if isinstance(remote, LinkedRemote):
            link = _watch_link(remote, health, news, bus, clock)
            tasks.create_task(link, name=f"edgehost.remote.{remote.name}.link")
        while True:
            news.clear()
            wait_s = await _catch_up(
                follow, remote, health, poll_s=poll_s, bus=bus, clock=clock, backoff=backoff
            )
            try:
                async with asyncio.timeout(wait_s):
                    await news.wait()
            except TimeoutError:
                continue


async def _hear(remote: Remote, news: asyncio.Event) -> None:
    async for _ in remote.changes():
        news.set()


async def _watch_link(
    remote: LinkedRemote, health: RemoteHealth, news: asyncio.Event, bus: EventBus, clock: Clock
) -> None:
    async for _ in remote.link_changes():
        if remote.connected:
            news.set()  # a check says whether all is well again
        elif health.state == "ok":
            _lose(health, bus, clock)


def _lose(health: RemoteHealth, bus: EventBus, clock: Clock) -> None:
    now = clock.now()
    health.state = "unreachable"
    health.reason = f"Not connected since {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC."
    log.warning("Remote '%s' is unreachable: %s", health.name, health.reason)
    bus.publish(RemoteLost(at=now, remote=health.name, reason=health.reason))


async def _catch_up(
    follow: FollowRemote,
    remote: Remote,
    health: RemoteHealth,
    *,
    poll_s: float,
    bus: EventBus,
    clock: Clock,
    backoff: Backoff,
) -> float:
    """One try; returns the seconds to wait for news before the next."""
    try:
        await _caught_up(follow)
    except UntrustedReleaseError as error:
        _note(health, "refused", error)
        bus.publish(RemoteRefused(at=clock.now(), remote=remote.name, code=error.code, reason=str(error)))
        return poll_s
    except UnavailableError as error:
        if health.state != "unreachable":
            bus.publish(RemoteLost(at=clock.now(), remote=remote.name, reason=str(error)))
        _note(health, "unreachable", error)
        return _soon(health, backoff, poll_s)
    except EdgehostError as error:
        _note(health, "refused", error)
        return poll_s
    if isinstance(remote, LinkedRemote) and not remote.connected:
        # The link broke after the last answer: what had come is in, and its return is news.
        health.checked_at = clock.now()
        if health.state != "unreachable":
            _lose(health, bus, clock)
        return poll_s
    if health.state not in {"ok", "not asked yet"}:
        log.info("Remote '%s' answers again.", remote.name)
    health.state, health.reason, health.checked_at = "ok", "", clock.now()
    health.failures = health.failures + 1 if follow.unfinished else 0
    return _soon(health, backoff, poll_s) if follow.unfinished else poll_s


async def _caught_up(follow: FollowRemote) -> None:
    """Catch up; what the disk refuses (one that was mounted read-only after its errors, say) passes like an outage.

    Raises:
        EdgehostError: as ``catch_up``; UnavailableError: this host's disk does not do its part.
    """
    try:
        await follow.catch_up()
    except OSError as error:
        raise UnavailableError(
            f"This host's own files do not take it: {error.strerror or error}.",
            hint="Look at 'dmesg' for errors of the medium, and at the data folder's owner and mode.",
        ) from error


def _soon(health: RemoteHealth, backoff: Backoff, poll_s: float) -> float:
    """When to try again what may succeed later; spread, so that a fleet does not come back as one."""
    return min(backoff.delay_s(health.failures, random.uniform(0.5, 1.0)), poll_s)  # noqa: S311 - no secret


def _note(health: RemoteHealth, state: str, error: EdgehostError) -> None:
    """Log a change of state once, not at every try: an offline host must not fill its log."""
    if (health.state, health.reason) != (state, error.message):
        lead = f"Remote '{health.name}' "
        log.warning("%s%s", "" if error.message.startswith(lead) else f"{lead}is {state}: ", error)
    health.state, health.reason, health.failures = state, error.message, health.failures + 1
