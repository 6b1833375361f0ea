"""Decides what of that which comes as a command is one, for this host, now, and from whom."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import NotGrantedError, RefusedError
from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.domain.fleet_messages import DEFAULT_LIFE_S, NONCE_BYTES, Submission, read_command
from edgehost.domain.fleet_rules import ANYBODY, HostTime, Operator, Replays, require_for, require_in_time
from edgehost.domain.fleet_topics import CommandTopic
from edgehost.ports.fleet_link import Signatures

SIGNED: Final = "signed"
TRUSTED_BROKER: Final = "trusted-broker"
#: What a signature is for; one that was made for another purpose does not hold.
COMMAND: Final = "edgehost command"
CANCELLATION: Final = "edgehost cancellation"


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one host."""

    host: str
    fleet: str
    mode: str  # SIGNED or TRUSTED_BROKER
    signatures: Signatures
    time: Callable[[], HostTime]

    async def genuine(self, what: Submission, where: CommandTopic) -> tuple[FleetCommand, Operator]:
        """The command, from somebody who may speak here, at the topic that it names, for this host.

        Raises:
            RefusedError: it is not; whoever put it there has no say here.
        """
        command, operator = await self._opened(what, where)
        if (command.operation, command.id) != (where.operation, where.id):
            raise RefusedError(f"It was signed as {command.operation}/{command.id} and published elsewhere.")
        require_for(command, host=self.host, fleet=self.fleet)
        return command, operator

    def require_timely(self, command: FleetCommand, replays: Replays) -> None:
        """Check that a genuine command holds now and is new.

        Raises:
            RefusedError: it is not.
        """
        require_in_time(command, self.time(), replays.newest)
        replays.require_new(command)

    def bundle_command(self, bundle_id: str, content: bytes) -> FleetCommand:
        """The command that a bundle stands for; the same bytes under the same id are the same command."""
        where = CommandTopic(Operation.BUNDLE, bundle_id)
        nonce = hashlib.sha256(f"bundle/{bundle_id}/".encode() + content).digest()[:NONCE_BYTES]
        return read_command({"nonce": nonce}, plain=self._assumed(where))

    async def _opened(self, what: Submission, where: CommandTopic) -> tuple[FleetCommand, Operator]:
        if what.signed:
            purpose = CANCELLATION if what.cancels else COMMAND
            document, operator = await self.signatures.opened(what.signed, purpose=purpose)
            return read_command(document, by=operator.key_id), operator
        if self.mode != TRUSTED_BROKER:
            raise NotGrantedError(
                "Commands to this host must be signed.", hint="'edgehost fleet sign' writes a signed one."
            )
        return read_command(what.document or {}, plain=self._assumed(where)), ANYBODY

    def _assumed(self, where: CommandTopic) -> Mapping[str, Any]:
        now = self.time().now
        return {
            "id": where.id,
            "operation": str(where.operation),
            "audience": [self.host],
            "fleet": self.fleet,
            "issued_at": now,
            "expires_at": now + DEFAULT_LIFE_S,
            # Without a nonce of its own, it is told from others by its id.
            "nonce": hashlib.sha256(f"{where.operation}/{where.id}".encode()).digest()[:NONCE_BYTES],
        }
