"""Takes a host that rollouts have set aside back among the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from edgehost.domain.errors import RefusedError
from edgehost.domain.spec_reader import SpecReader
from edgehost.usecases.count_failures import FailureCount
from edgehost.usecases.fleet_operation import RunningCommand


@dataclass(frozen=True, slots=True)
class Readmit:
    """Forgets the deployments that failed here."""

    failures: FailureCount
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "count on this host in rollouts again, whatever failed on it until now",
        "arguments": {},
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The whole host."""
        SpecReader(arguments, error=RefusedError).refuse_unknown()
        return ""

    def turn(self, _arguments: Mapping[str, Any]) -> str | None:
        """None: it changes no component."""
        return None

    async def run(self, _running: RunningCommand) -> Mapping[str, Any]:
        """Begin to count anew."""
        was = self.failures.is_set_aside
        return {"was_set_aside": was, "forgotten": await self.failures.clear()}

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Again: it changes nothing twice."""
        return await self.run(running)
