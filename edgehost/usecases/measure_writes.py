"""What deployments cost the disk, and what the host writes in a day: flash wears out by the page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from edgehost.domain.events import Event, ReleaseMoved
from edgehost.domain.host_events import DeploymentWritten
from edgehost.domain.release_life import Stage
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus

_REMEMBERED: Final = 200
_DAY_S: Final = 86_400.0
#: A day's figure from less than this much of a day would be a guess.
_LEAST_S: Final = 600.0


class WriteMeter:
    """``deployment_bytes`` counts what was written for deployments, ``all_bytes`` what the process wrote at all."""

    def __init__(
        self,
        *,
        deployment_bytes: Callable[[], int],
        all_bytes: Callable[[], int | None],
        size_of: Callable[[str], int],
        bus: EventBus,
        clock: Clock,
    ) -> None:
        self._deployment_bytes = deployment_bytes
        self._all_bytes = all_bytes
        self._size_of = size_of
        self._bus = bus
        self._clock = clock
        self._started = clock.monotonic()
        self._at_start = all_bytes() or 0
        self._mark = deployment_bytes()
        self._of: OrderedDict[str, int] = OrderedDict()  # by digest

    async def run(self) -> None:
        """Measure each deployment, until cancelled."""
        async with self._bus.subscription(_went_live, backlog=_REMEMBERED) as events:
            async for event in events:
                if isinstance(event, ReleaseMoved):
                    self.note(event)

    def note(self, event: ReleaseMoved) -> None:
        """A release went live: what was written since the one before it is its cost, failed tries included.

        The file's writes, the chunks before it, metadata and ledger; components that go live side by side share
        their costs as their ends fall.
        """
        now = self._deployment_bytes()
        written, self._mark = now - self._mark, now
        self._of[event.digest] = written
        while len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)
        self._bus.publish(
            DeploymentWritten(
                at=self._clock.now(),
                component=event.component,
                version=event.version,
                digest=event.digest,
                size_bytes=self._size_of(event.digest),
                written_bytes=written,
            )
        )

    def of(self, digest: str) -> int | None:
        """What the deployment of this release wrote; None when it was not in this run."""
        return self._of.get(digest)

    def status(self) -> Mapping[str, Any]:
        """For ``status``: bytes for deployments, for all, and a day's at this rate."""
        passed_s = self._clock.monotonic() - self._started
        everything = self._all_bytes()
        written = None if everything is None else everything - self._at_start
        per_day = None if written is None or passed_s < _LEAST_S else int(written * _DAY_S / passed_s)
        last = next(reversed(self._of.values())) if self._of else None
        return {
            "deployments_bytes": self._deployment_bytes(),
            "last_deployment_bytes": last,
            "since_start_bytes": written,
            "per_day_bytes": per_day,
        }


def _went_live(event: Event) -> bool:
    return isinstance(event, ReleaseMoved) and event.stage == Stage.LIVE
