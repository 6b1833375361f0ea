"""What an operator signs: commands, cancellations and orders to rollouts, ready to be published."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.fleet_command import FleetCommand, Operation
from edgehost.domain.fleet_messages import NONCE_BYTES, command_document, signed_submission
from edgehost.domain.json_text import write_json
from edgehost.domain.rollout_messages import SignedOrder, order_document
from remotes import cose_sign1

COMMAND: Final = b"edgehost command"
CANCELLATION: Final = b"edgehost cancellation"
ORDER: Final = b"edgehost rollout"


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key that signs."""

    key_id: str  # hex
    sign_ed25519: Callable[[bytes], bytes]

    def signed_command(self, command: FleetCommand) -> bytes:
        """The payload for the command's topic."""
        return self._signed(command_document(command), COMMAND)

    def signed_cancellation(self, command: FleetCommand) -> bytes:
        """The payload that takes the command of this id and operation back; its nonce is its own."""
        return self._signed(command_document(command), CANCELLATION, cancels=True)

    def signed_order(self, order: SignedOrder) -> bytes:
        """The payload for a rollout's topic."""
        return self._signed(order_document(order), ORDER)

    def _signed(self, document: Mapping[str, Any], context: bytes, *, cancels: bool = False) -> bytes:
        signed = cose_sign1.sign(
            cose_sign1.write_map(document),
            key_id=bytes.fromhex(self.key_id),
            sign_ed25519=self.sign_ed25519,
            context=context,
        )
        return write_json(signed_submission(signed, cancels=cancels))


def new_command(
    operation: Operation,
    arguments: Mapping[str, Any],
    *,
    fleet: str,
    audience: Sequence[str],
    now: float,
    life_s: float,
    command_id: str = "",
) -> FleetCommand:
    """A command that was never given before."""
    return FleetCommand(
        id=command_id or secrets.token_hex(8),
        operation=operation,
        audience=tuple(audience),
        fleet=fleet,
        issued_at=now,
        expires_at=now + life_s,
        nonce=secrets.token_bytes(NONCE_BYTES),
        arguments=dict(arguments),
    )
