"""What an operator, or whoever speaks for one, may ask of the agent itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edgehost.domain.config_generation import Generation
from edgehost.domain.crash_report import CrashReport


class AgentControl(Protocol):
    """Errors are EdgehostErrors and reach the operator as they are."""

    @property
    def safe(self) -> str:
        """Why the host is in safe mode; empty when it is not."""
        ...

    @property
    def generation(self) -> Generation:
        """The generation of the configuration that runs."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The generation, the mode, how the run before ended."""
        ...

    def all_generations(self) -> Sequence[Generation]:
        """Oldest first."""
        ...

    async def text(self, number: int) -> bytes:
        """The text of a generation."""
        ...

    async def apply(self, text: bytes, origin: str, *, restart: bool = True) -> Generation:
        """Keep a configuration as the newest generation and restart on it; ``restart=False`` leaves that to the caller.

        Raises:
            RefusedError: it cannot be read, or moves what the command line finds the host by; nothing was kept.
            StorageFullError, UnavailableError: nothing was changed.
        """
        ...

    async def apply_file(self) -> Generation:
        """Apply what the configuration file holds now."""
        ...

    async def revert(self, reason: str = "", *, restart: bool = True) -> Generation:
        """Go back to the good generation before this one; ConflictError when there is none."""
        ...

    async def confirm(self) -> Generation:
        """Take the running generation for good before its trial is over."""
        ...

    def restart(self) -> None:
        """End in order and start again in place; returns at once."""
        ...

    async def enter_safe_mode(self, why: str = "") -> None:
        """Restart with components off."""
        ...

    async def leave_safe_mode(self, *, left_for: str = "", by_itself: bool = False) -> None:
        """Restart with components on; ConflictError when the host is not in safe mode."""
        ...

    async def crash_reports(self) -> Sequence[CrashReport]:
        """What is kept, oldest first."""
        ...

    @property
    def host_lines(self) -> Sequence[str]:
        """The last lines of the host's own log, oldest first."""
        ...
