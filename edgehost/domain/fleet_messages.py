"""What commands, states, registrations and reports look like on the wire; read strictly, written canonically.

A command is JSON with ``status: init``. What its signer vouches for is ``signed``, a COSE_Sign1 in base64 whose
payload is a CBOR map; on a broker that is declared trusted the same keys stand in the JSON itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import RefusedError, TooLargeError
from edgehost.domain.fleet_command import CommandRecord, CommandState, FleetCommand, Operation
from edgehost.domain.fleet_topics import COMMAND_ID
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader

#: A command with its arguments; the text of a configuration is the largest of them.
COMMAND_MOST_BYTES: Final = 96 * 1024
#: States that a host writes, with their results.
STATE_MOST_BYTES: Final = 64 * 1024
#: Replayed commands are told apart by nonces that are kept until they expire; so none may live for ever.
LONGEST_LIFE_S: Final = 35 * 86_400.0
#: On a trusted broker a command that does not say how long it is meant.
DEFAULT_LIFE_S: Final = 86_400.0
EVERY_HOST: Final = "*"
NONCE_BYTES: Final = 16
_AUDIENCE: Final = worded(rf"\*|{NAME.pattern}", "'*' or the name of a host")
LATEST: Final = 253_402_300_799.0  # the year 9999
_MOST_AUDIENCE: Final = 1000
CANCEL: Final = "cancel"


@dataclass(frozen=True, slots=True)
class Submission:
    """What stands on a command's topic when it is not the host's own word."""

    signed: bytes = b""  # a COSE_Sign1, or
    document: Mapping[str, Any] | None = None  # a command in plain
    cancels: bool = False  # it takes a command back


def read_submission(payload: bytes) -> Submission | None:
    """A command that a requester put there; None for a state that a host wrote, or whoever else.

    Raises:
        RefusedError: it is meant as a command and is none.
    """
    if len(payload) > COMMAND_MOST_BYTES:
        raise TooLargeError(f"The command has {len(payload)} bytes; {COMMAND_MOST_BYTES} are allowed.")
    try:
        document = read_json(payload)
    except RefusedError as error:
        raise RefusedError(f"The command is no JSON: {error.message}") from None
    status = document.get("status") if isinstance(document, Mapping) else None
    if not isinstance(status, str):
        status = None
    if status in {CommandState.EXECUTING, CommandState.SUCCESSFUL, CommandState.FAILED}:
        return None
    if status not in {CommandState.INIT, CANCEL}:
        raise RefusedError('A command is a JSON object with "status": "init" or "cancel".')
    if "signed" in document:
        if set(document) - {"status", "signed"}:
            raise RefusedError("Beside 'signed' only 'status' may stand: the rest would not be signed.")
        return Submission(signed=from_base64(document["signed"]), cancels=status == CANCEL)
    return Submission(
        document={key: value for key, value in document.items() if key != "status"}, cancels=status == CANCEL
    )


def read_command(
    document: Mapping[str, Any], *, by: str = "", plain: Mapping[str, Any] | None = None
) -> FleetCommand:
    """A command from a map; ``plain`` holds what a trusted broker's user may leave out.

    Raises:
        RefusedError: a key is missing, wrong or unknown.
    """
    table = SpecReader({**(plain or {}), **document}, error=RefusedError)
    nonce = table.anything("nonce")
    if isinstance(nonce, str):
        nonce = from_base64(nonce)
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
        raise RefusedError(f"nonce must be {NONCE_BYTES} random bytes.")
    try:
        arguments = read_json(write_json(dict(table.document("arguments"))))
    except (TypeError, ValueError, RecursionError):
        raise RefusedError("The arguments hold something that JSON cannot.") from None
    audience = table.texts("audience", pattern=_AUDIENCE)
    if not 0 < len(audience) <= _MOST_AUDIENCE:
        raise RefusedError(f"audience must name 1 to {_MOST_AUDIENCE} hosts, or '*'.")
    command = FleetCommand(
        id=table.text("id", pattern=COMMAND_ID),
        operation=Operation(table.choice("operation", Operation)),
        audience=audience,
        fleet=table.text("fleet", pattern=NAME),
        issued_at=table.number("issued_at", least=0, most=LATEST),
        expires_at=table.number("expires_at", least=0, most=LATEST),
        nonce=nonce,
        arguments=arguments,
        by=by,
    )
    table.refuse_unknown()
    if not command.issued_at < command.expires_at <= command.issued_at + LONGEST_LIFE_S:
        raise RefusedError(
            f"It expires before it is issued, or more than {LONGEST_LIFE_S / 86_400:.0f} days after.",
            hint="Sign it with a shorter life.",
        )
    return command


def command_document(command: FleetCommand) -> dict[str, Any]:
    """The map that is signed."""
    return {
        "id": command.id,
        "operation": str(command.operation),
        "audience": list(command.audience),
        "fleet": command.fleet,
        "issued_at": command.issued_at,
        "expires_at": command.expires_at,
        "nonce": command.nonce,
        "arguments": dict(command.arguments),
    }


def signed_submission(signed: bytes, *, cancels: bool = False) -> dict[str, str]:
    """What a requester publishes."""
    status = CANCEL if cancels else str(CommandState.INIT)
    return {"status": status, "signed": base64.b64encode(signed).decode()}


def state_document(record: CommandRecord, *, boot: str = "") -> dict[str, Any]:
    """What a host publishes of a command."""
    document: dict[str, Any] = {
        "status": str(record.state),
        "id": record.id,
        "at": round(record.changed_at, 3),
    }
    if record.reason:
        document["reason"] = record.reason
    if record.result:
        document["result"] = dict(record.result)
    return document | {key: value for key, value in (("by", record.by), ("boot", boot)) if value}


def read_state(payload: bytes, operation: Operation, command_id: str) -> CommandRecord:
    """A command's state as a host published it, or ``init`` as its requester did.

    Raises:
        RefusedError: it is none.
    """
    if len(payload) > max(STATE_MOST_BYTES, COMMAND_MOST_BYTES):
        raise TooLargeError("The state is too long.")
    document = read_json(payload)
    if not isinstance(document, Mapping):
        raise RefusedError("The state is no JSON object.")
    table = SpecReader(document, error=RefusedError)
    return CommandRecord(
        id=command_id,
        operation=operation,
        state=CommandState(table.choice("status", CommandState)),
        reason=table.text("reason", default="", longest=4096),
        result=dict(table.document("result")),
        by=table.text("by", default=""),
        changed_at=table.number("at", default=0.0, least=0, most=LATEST),
    )


def small_table(payload: bytes) -> SpecReader:
    """The members of a short message.

    Raises:
        RefusedError: it is no JSON object. TooLargeError: it is too long.
    """
    if len(payload) > STATE_MOST_BYTES:
        raise TooLargeError("The message is too long.")
    document = read_json(payload)
    if not isinstance(document, Mapping):
        raise RefusedError("The message is no JSON object.")
    return SpecReader(document, error=RefusedError)


def from_base64(text: object) -> bytes:
    """The bytes.

    Raises:
        RefusedError: it is no base64.
    """
    if not isinstance(text, str):
        raise RefusedError("What should be base64 is no string.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("What should be base64 is none.") from None
