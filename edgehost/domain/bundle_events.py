"""Facts about bundles: repositories in one file, that come on sticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleChecked(Event):
    """A bundle appeared and was looked at; what it carries is taken up like any remote's releases."""

    type: ClassVar[str] = "edgehost.bundle.checked"
    remote: str
    bundle: str  # the file's name
    outcome: str  # "taken", "older", "refused" or "unreadable"
    version: int  # of its timestamp, by its own word
    code: str = ""  # of the error
    reason: str = ""

    @property
    def subject(self) -> str:
        """The bundle's file name."""
        return self.bundle
