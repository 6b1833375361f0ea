"""What is told of a release on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgressed(Event):
    """Another tenth of a release has come; what comes in one piece is told when it is there."""

    type: ClassVar[str] = "edgehost.transfer.progressed"
    component: str
    version: str
    remote: str
    done_bytes: int
    total_bytes: int  # of the release, or of the delta that makes it

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFetched(Event):
    """A release is whole and on the shelf."""

    type: ClassVar[str] = "edgehost.release.fetched"
    component: str
    version: str
    remote: str
    size_bytes: int
    received_bytes: int  # less than its size where a delta or an earlier, broken transfer saved the rest
    from_delta: bool
    seconds: float

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"
