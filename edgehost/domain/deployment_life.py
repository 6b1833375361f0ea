"""The life of a deployment on one host, as a table of allowed moves, and how it outlives a restart.

Rule 1: what a component was (``before``) is kept durably before the first change, so that it can be taken back.
Rule 2: a sequence that failed here is never begun again by itself; the next one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.deployment import Deployment
from edgehost.domain.deployment_reader import read_signed_deployment
from edgehost.domain.errors import ConflictError
from edgehost.domain.rollout_report import RolloutState

ALLOWED_MOVES: Final[Mapping[RolloutState, frozenset[RolloutState]]] = {
    RolloutState.WAITING: frozenset(
        {RolloutState.PREPARED, RolloutState.APPLYING, RolloutState.HALTED, RolloutState.FAILED}
    ),
    RolloutState.PREPARED: frozenset({RolloutState.APPLYING, RolloutState.HALTED, RolloutState.FAILED}),
    RolloutState.APPLYING: frozenset({RolloutState.SOAKING, RolloutState.SUCCESSFUL, RolloutState.FAILED}),
    RolloutState.SOAKING: frozenset({RolloutState.SUCCESSFUL, RolloutState.FAILED}),
    RolloutState.SUCCESSFUL: frozenset({RolloutState.FAILED}),  # an operator takes it back
    RolloutState.FAILED: frozenset(),
    RolloutState.HALTED: frozenset({RolloutState.WAITING, RolloutState.FAILED}),
}
#: States in which nothing was changed yet.
NOT_BEGUN: Final = frozenset({RolloutState.WAITING, RolloutState.PREPARED, RolloutState.HALTED})


@dataclass(frozen=True, slots=True)
class Before:
    """What one component was when the deployment began."""

    digest: str = ""  # of its live release; "": it had none
    version: str = ""
    config: Mapping[str, str] = field(default_factory=dict)  # its overrides
    bindings: Mapping[str, str] = field(
        default_factory=dict
    )  # those that it changes; "": no operator bound it
    candidates: tuple[str, ...] = ()  # digests of what ran beside it
    firmware: str = ""  # of a device: digest of its firmware image; "": this host did not bring it
    firmware_version: str = ""  # of a device, as it says


@dataclass(frozen=True, slots=True)
class HeldDeployment:
    """A deployment that this host has accepted."""

    deployment: Deployment
    content: bytes  # as it was signed
    remote: str
    accepted_at: float  # unix seconds
    state: RolloutState = RolloutState.WAITING
    since: float = 0.0  # unix seconds of the last move
    reason: str = ""
    before: Mapping[str, Before] = field(default_factory=dict)  # by component, once it has begun
    given_up: tuple[str, ...] = ()  # digests that were given up on before it began
    failed: Mapping[str, str] = field(default_factory=dict)  # component: why
    taking_back: bool = False  # all of it goes back to what it was

    @property
    def begun(self) -> bool:
        """Whether it may have changed something."""
        return self.state not in NOT_BEGUN

    def moved_to(self, state: RolloutState, *, at: float, reason: str = "", **changes: Any) -> HeldDeployment:  # noqa: ANN401 - fields
        """The deployment in its next state.

        Raises:
            ConflictError: the table has no such move.
        """
        if state not in ALLOWED_MOVES[self.state]:
            raise ConflictError(
                f"Deployment {self.deployment.name} {self.deployment.sequence} cannot go from "
                f"{self.state} to {state}.",
                hint="See 'edgehost deployment ls'.",
            )
        return replace(self, state=state, since=at, reason=reason, **changes)

    def as_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "sequence": self.deployment.sequence,
            "content": self.content.decode(),
            "remote": self.remote,
            "accepted_at": self.accepted_at,
            "state": str(self.state),
            "since": self.since,
            "reason": self.reason,
            "before": {name: _before_document(each) for name, each in self.before.items()},
            "given_up": list(self.given_up),
            "failed": dict(self.failed),
            "taking_back": self.taking_back,
        }

    @classmethod
    def from_document(cls, name: str, document: Mapping[str, Any]) -> HeldDeployment:
        """What ``as_document`` wrote.

        Raises:
            RefusedError, KeyError, TypeError, ValueError: it is something else.
        """
        content = str(document["content"]).encode()
        return cls(
            deployment=read_signed_deployment(content, name=name, sequence=int(document["sequence"])),
            content=content,
            remote=str(document["remote"]),
            accepted_at=float(document["accepted_at"]),
            state=RolloutState(document["state"]),
            since=float(document["since"]),
            reason=str(document["reason"]),
            before={name: _read_before(each) for name, each in document["before"].items()},
            given_up=tuple(map(str, document["given_up"])),
            failed={str(name): str(why) for name, why in document["failed"].items()},
            taking_back=bool(document["taking_back"]),
        )


def owners(held: Iterable[HeldDeployment]) -> dict[str, HeldDeployment]:
    """Whose each component is: of the deployment with the highest priority, then of the one accepted last."""
    found: dict[str, HeldDeployment] = {}
    for each in sorted(held, key=rank_of):
        found |= dict.fromkeys((wanted.name for wanted in each.deployment.components), each)
    return found


def rank_of(held: HeldDeployment) -> tuple[int, float, str]:
    """Of two that name the same, the larger has it."""
    return (held.deployment.priority, held.accepted_at, held.deployment.name)


def _before_document(before: Before) -> dict[str, Any]:
    return {
        "digest": before.digest,
        "version": before.version,
        "config": dict(before.config),
        "bindings": dict(before.bindings),
        "candidates": list(before.candidates),
        "firmware": before.firmware,
        "firmware_version": before.firmware_version,
    }


def _read_before(document: Mapping[str, Any]) -> Before:
    return Before(
        digest=str(document["digest"]),
        version=str(document["version"]),
        config={str(key): str(value) for key, value in document["config"].items()},
        bindings={str(key): str(value) for key, value in document["bindings"].items()},
        candidates=tuple(map(str, document["candidates"])),
        firmware=str(document.get("firmware", "")),
        firmware_version=str(document.get("firmware_version", "")),
    )
