"""What hosts tell each other of a deployment: the only thing a rollout is decided from."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RolloutState(enum.StrEnum):
    """Where a host is with one deployment."""

    WAITING = (
        "waiting"  # for its wave, a window, an approval, or the component's consent; the reason says which
    )
    PREPARED = "prepared"  # all is fetched and checked; for transactions
    APPLYING = "applying"
    SOAKING = "soaking"  # all is live and watched
    SUCCESSFUL = "successful"
    FAILED = "failed"  # and rolled back, or kept as the deployment says; the reason says which
    HALTED = "halted"  # not begun, because others failed or an operator said so


#: From these a host does not move on with the same sequence by itself.
FINAL_STATES = frozenset({RolloutState.SUCCESSFUL, RolloutState.FAILED, RolloutState.HALTED})


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """One host's state, retained at ``edgehost/<fleet>/<host>/twin/deployment/<name>``."""

    host: str
    site: str  # the value of the rollout's label ``within``; "" when it has none
    deployment: str
    sequence: int
    digest: str
    wave: int
    state: RolloutState
    since: float  # unix seconds of the reporting host's clock
    reason: str = ""
    waves: int = 0  # how many the deployment has; 0: it is not told
    key: str = ""  # the public key, in hex, that it is signed with; "": it is not signed


class RolloutOrder(enum.StrEnum):
    """What an operator says to a rollout, signed; retained at ``edgehost/<fleet>/_rollout/<name>``."""

    APPROVE = "approve"  # the wave may begin
    HALT = "halt"  # nobody begins any more
    RESUME = "resume"  # in spite of those that failed, or are away, in the waves up to the one that is named
    ABORT = "abort"  # halt, and whoever has it goes back


@dataclass(frozen=True, slots=True)
class RolloutCommand:
    """The newest order for a sequence of a deployment."""

    deployment: str
    sequence: int
    order: RolloutOrder
    wave: int = 0  # of an approval, or the last one that it is resumed from
    by: str = ""  # the operator, as people are told
