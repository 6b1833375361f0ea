"""What a host sees of the others in its fleet, and shows of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from edgehost.domain.rollout_report import RolloutCommand, RolloutReport


class FleetView(Protocol):
    """Retained reports over whatever links the hosts; what was seen last stays while the link is down."""

    @property
    def connected(self) -> bool:
        """Whether all that others show has come since the link is there; False: what is here may be old, or not all."""
        ...

    @property
    def key(self) -> str:
        """The public key, in hex, that this host's reports are signed with; "" when they are not."""
        ...

    def trust(self, deployment: str, keys: Mapping[str, str]) -> None:
        """Take reports on a deployment from these hosts alone, signed with these keys; none: from everybody."""
        ...

    def members(self) -> Mapping[str, Mapping[str, str]]:
        """Every registered host's labels by its id, with ``class`` for its device class; itself included."""
        ...

    def bridging(self, device: str) -> Collection[str]:
        """Ids of the other hosts that say that they bridge a device of this name."""
        ...

    def away(self) -> Collection[str]:
        """Ids of the hosts that are offline, as they or their broker say."""
        ...

    def set_aside(self) -> Mapping[str, Collection[str]]:
        """Hosts that say that too many deployments failed on them to judge another by; and which: NAME SEQUENCE."""
        ...

    def reports(self, deployment: str) -> Sequence[RolloutReport]:
        """The last report of each host, this one's included."""
        ...

    def command(self, deployment: str) -> RolloutCommand | None:
        """The operator's newest order whose signature holds."""
        ...

    async def report(self, report: RolloutReport) -> None:
        """Show this host's state to the others; kept and sent later while the link is down."""
        ...

    def shown(self) -> Collection[str]:
        """The deployments that this host shows a report on, those of an earlier run included."""
        ...

    def withdraw(self, deployment: str) -> None:
        """Show nothing of a deployment any more."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """One item after any of it may have changed."""
        ...
