"""What an operation of a fleet is: something that can be begun, and gone on with after a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgehost.domain.fleet_command import FleetCommand


@dataclass(slots=True)
class RunningCommand:
    """One command as its operation sees it."""

    command: FleetCommand
    begun: int  # 1 at first, more after restarts
    memo: Mapping[str, Any]  # what it remembered before a restart
    tell: Callable[[str], None]  # how far it is, for people
    remember: Callable[[Mapping[str, Any]], Awaitable[None]]  # durably, before it goes on
    committed: bool = field(default=False)  # it can no longer be cancelled

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it was asked for."""
        return self.command.arguments


class FleetOperation(Protocol):
    """One thing that a host can be told to do."""

    @property
    def capability(self) -> Mapping[str, Any]:
        """Retained for whoever asks: ``{"description", "arguments": {name: what it means}}``."""
        ...

    def about(self, arguments: Mapping[str, Any]) -> str:
        """Check the arguments; the component that it is about, "" for the whole host.

        Raises:
            RefusedError: they cannot be used.
        """
        ...

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """Commands of the same turn are done one after another; None takes no turn."""
        ...

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Do it; the result, ready for JSON.

        Raises:
            EdgehostError: it failed; the message becomes the reason.
        """
        ...

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Bring it to an end after the host was restarted in the midst of it.

        Raises:
            EdgehostError: it failed; the message becomes the reason.
        """
        ...
