"""Commands to a host: a retained state machine with one owner for each state.

The requester owns ``init``: it publishes the command. From then on the host owns it and drives it to ``successful`` or
``failed``, over any number of restarts. The requester clears the topic when it has read the outcome.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Operation(enum.StrEnum):
    """What a host can be told to do; each is announced by a retained capability."""

    DEPLOY = "deploy"  # component (and version), or a deployment by name: look now
    ROLLBACK = "rollback"
    RESTART = "restart"  # a component, or the host itself
    CALL = "call"
    CONFIG = "config"  # propose a configuration; see the host's generations
    LOGS = "logs"
    DIAG = "diag"
    FLASH = "flash"
    BUNDLE = "bundle"  # a signed bundle of releases, sent to the host as a message
    READMIT = "readmit"  # rollouts have set the host aside: count on it again


class CommandState(enum.StrEnum):
    """init -> executing -> successful | failed{reason}."""

    INIT = "init"
    EXECUTING = "executing"
    SUCCESSFUL = "successful"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FleetCommand:
    """A command as its requester signed it: a CBOR map in a COSE_Sign1 (RFC 9052), key names as here."""

    id: str  # the last level of the topic; a host does a command of one id once
    operation: Operation
    audience: tuple[str, ...]  # host ids, or "*" for every host of the fleet
    fleet: str
    issued_at: float  # unix seconds
    expires_at: float
    nonce: bytes  # 16 random bytes; seen ones are kept until they expire
    arguments: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""  # key id of the signer; "" on a broker that is declared trusted


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What the host keeps of a command until the requester clears it."""

    id: str
    operation: Operation
    state: CommandState
    reason: str = ""  # of failed, and of what executing waits for
    result: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    changed_at: float = 0.0
