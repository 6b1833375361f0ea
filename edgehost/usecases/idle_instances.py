"""The instances of a pool that have nothing to do."""

from __future__ import annotations

from collections.abc import Sequence

from edgehost.ports.sandbox import Sandbox


class IdleInstances:
    """Which are idle, and since when; the last one used is taken first: its memory is warm."""

    def __init__(self) -> None:
        self._since: dict[Sandbox, float] = {}  # in the order in which they were put here

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, sandbox: Sandbox) -> bool:
        return sandbox in self._since

    def put(self, sandbox: Sandbox, now: float) -> None:
        """It is idle from now on, in seconds of the loop's clock."""
        self._since[sandbox] = now

    def take(self) -> Sandbox | None:
        """The last one used, dead or alive; None when there is none."""
        return self._since.popitem()[0] if self._since else None

    def take_idle_before(self, moment: float) -> Sandbox | None:
        """The one that is idle for longest, when it was idle by that moment already."""
        longest = next(iter(self._since), None)
        if longest is None or self._since[longest] > moment:
            return None
        del self._since[longest]
        return longest

    def take_dead(self) -> Sequence[Sandbox]:
        """Those that died while they were idle."""
        dead = [sandbox for sandbox in self._since if not sandbox.alive]
        for sandbox in dead:
            del self._since[sandbox]
        return dead

    def clear(self) -> None:
        """Forget them all."""
        self._since.clear()
