"""Look at the remotes now, and say where this host is with a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, NotFoundError, RemoteUnreachableError
from edgehost.domain.rollout_report import RolloutState
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.control_host import ControlHost

_LOOK_S: Final = 0.2
#: A remote that has not answered by then is away.
_REMOTES_S: Final = 30.0
#: A deployment that is still being applied by then goes on by itself.
_APPLY_S: Final = 600.0
_BUSY: Final = frozenset({RolloutState.APPLYING, RolloutState.PREPARED})


@dataclass(frozen=True, slots=True)
class LookForDeployment:
    """For the command 'deploy' with a deployment's name."""

    control: ControlHost

    async def __call__(self, name: str, tell: Callable[[str], None]) -> Mapping[str, Any]:
        """Its sequence, state and reason, once it is not being applied any more.

        Raises:
            NotFoundError: no remote has it for this host.
            RemoteUnreachableError: no remote answered.
            EdgehostError: it failed here; the message says why.
        """
        tell("It looks at the remotes.")
        answered = await self._refreshed()
        try:
            async with asyncio.timeout(_APPLY_S):
                # A remote's answer is read before the deployment's state moves.
                while (row := self._row(name)) is None or row["state"] in _BUSY:
                    if row is None:
                        raise self._missing(name, answered=answered)
                    tell(f"Sequence {row['sequence']} is {row['state']}. {row['reason']}".strip())
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            row = self._row(name)
        if row is None:
            raise self._missing(name, answered=answered)
        if row["state"] == RolloutState.FAILED:
            raise EdgehostError(f"Sequence {row['sequence']} of {name} failed here: {row['reason']}")
        return row

    async def _refreshed(self) -> bool:
        """Whether a remote answered."""
        remotes = self.control.remotes
        before = {name: (health.checked_at, health.failures) for name, (health, _) in remotes.items()}
        await self.control.refresh()
        try:
            async with asyncio.timeout(_REMOTES_S):
                while any(  # noqa: ASYNC110 - health is looked at, nobody tells of it
                    (health.checked_at, health.failures) == before[name]
                    for name, (health, _) in remotes.items()
                ):
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            pass
        return any(health.state == "ok" for health, _ in remotes.values())

    def _row(self, name: str) -> Mapping[str, Any] | None:
        views = self.control.deployment_views
        return None if views is None else views.rows().get(name)

    def _missing(self, name: str, *, answered: bool) -> EdgehostError:
        if not answered:
            return RemoteUnreachableError("No remote answered; the host goes on looking by itself.")
        views = self.control.deployment_views
        known = {} if views is None else views.rows()
        return NotFoundError(f"No deployment '{name}' is for this host.", hint=did_you_mean(name, known))
