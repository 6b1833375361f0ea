"""What a host that can keep nothing does with commands: those that change nothing are done, the others are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import UnavailableError
from edgehost.domain.fleet_command import Operation
from edgehost.usecases.fleet_operation import FleetOperation, RunningCommand

#: Done twice they do no harm, which may be: that they were done is forgotten with the process.
_HARMLESS: Final = frozenset({Operation.LOGS, Operation.DIAG})


@dataclass(frozen=True, slots=True)
class WithheldOperation:
    """A FleetOperation that says why it is not done."""

    operation: FleetOperation
    why: str
    hint: str

    @property
    def capability(self) -> Mapping[str, Any]:
        """As ever: the host can do it when it can keep it."""
        return self.operation.capability

    def about(self, arguments: Mapping[str, Any]) -> str:
        """As ever, so that only those are told who may ask."""
        return self.operation.about(arguments)

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - see FleetOperation
        """A refusal waits for nobody."""
        return None

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:  # noqa: ARG002 - see FleetOperation
        """Refused.

        Raises:
            UnavailableError: always.
        """
        raise UnavailableError(f"{self.why} So this is not done.", hint=self.hint)

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Left open: it is noted as begun, and gone on with by a run that can note its end."""
        running.tell(self.why)
        await asyncio.Event().wait()
        return {}


def withheld_operations(
    operations: Mapping[Operation, FleetOperation], why: str, hint: str
) -> dict[Operation, FleetOperation]:
    """These operations for a run that keeps nothing."""
    return {
        name: each if name in _HARMLESS else WithheldOperation(each, why, hint)
        for name, each in operations.items()
    }
