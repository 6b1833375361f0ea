"""The life of a release, as a table of allowed moves.

Rule 1: every change of stage happens here; no other module assigns ``stage``.
Rule 2: this module does not know where the bytes came from or where they run.

A release that is ``LIVE`` answers calls, and so does a ``CANDIDATE``: its share of them. ``probation`` is not a stage but a date on the live release: until
then its error rate is watched, and a bad one is rolled back ([swap-2]).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Final

from edgehost.domain.errors import ConflictError
from edgehost.domain.traffic import Share


class Stage(enum.StrEnum):
    """Where a release stands on this host."""

    RECEIVED = "received"  # its bytes arrived, unopened
    VERIFIED = "verified"  # chain, digest, size, device class and sequence hold
    SHELVED = "shelved"  # stored by digest, durable
    STAGED = "staged"  # instances are started, without traffic
    PROBED = "probed"  # every export compiled and the probe answered
    CANDIDATE = "candidate"  # runs beside the live release and takes a share of its calls
    LIVE = "live"  # takes the traffic
    DRAINING = "draining"  # finishes its calls, takes no new ones
    RETIRED = "retired"  # stopped, still shelved
    REJECTED = "rejected"  # never trusted, or refused by its own probe
    QUARANTINED = "quarantined"  # misbehaved here; not tried again unless an operator releases it


ALLOWED_MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.RECEIVED: frozenset({Stage.VERIFIED, Stage.REJECTED}),
    Stage.VERIFIED: frozenset({Stage.SHELVED, Stage.REJECTED}),
    Stage.SHELVED: frozenset({Stage.STAGED, Stage.REJECTED, Stage.QUARANTINED}),
    Stage.STAGED: frozenset({Stage.PROBED, Stage.SHELVED, Stage.QUARANTINED}),
    Stage.PROBED: frozenset({Stage.LIVE, Stage.CANDIDATE, Stage.SHELVED, Stage.QUARANTINED}),
    Stage.CANDIDATE: frozenset({Stage.LIVE, Stage.DRAINING, Stage.QUARANTINED}),
    Stage.LIVE: frozenset({Stage.DRAINING, Stage.QUARANTINED, Stage.SHELVED}),  # shelved: its file was lost
    Stage.DRAINING: frozenset({Stage.RETIRED, Stage.LIVE, Stage.QUARANTINED}),
    Stage.RETIRED: frozenset({Stage.STAGED, Stage.QUARANTINED}),  # rollback to an earlier release
    Stage.REJECTED: frozenset(),
    Stage.QUARANTINED: frozenset({Stage.SHELVED}),  # an operator lifts it
}

#: After a crash nothing is half-way: what was starting is on the shelf again, what was draining is retired.
AFTER_RESTART: Final[dict[Stage, Stage]] = {
    Stage.STAGED: Stage.SHELVED,
    Stage.PROBED: Stage.SHELVED,
    Stage.DRAINING: Stage.RETIRED,
}

#: Stages whose bytes a shelf must keep.
KEPT_STAGES: Final = frozenset(Stage) - {Stage.RECEIVED, Stage.VERIFIED, Stage.REJECTED}


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a component as this host knows it."""

    component: str
    version: str
    digest: str  # sha256 of the component file, lower-case hex
    size_bytes: int
    sequence: int  # counts publications of this component; never goes back
    remote: str  # which remote vouched for it; "" for a local file
    stage: Stage = Stage.RECEIVED
    reason: str = ""  # why it is rejected or quarantined
    changed_at: float = 0.0  # unix seconds of the last move
    probation_until: float = 0.0  # unix seconds; 0 when it has passed
    abi: str = "extism"
    device_classes: tuple[str, ...] = field(default=("any",))
    live_at: float = 0.0  # unix seconds when it last went live; 0: never
    share: Share | None = None  # of a candidate: what it gets of the calls
    pinned: bool = False  # an operator chose this version: a newer offer does not replace it by itself
    awaited: bool = False  # was live until its file was lost: it goes live again once the file is back

    def moved_to(self, stage: Stage, *, at: float, reason: str = "") -> Release:
        """The release at its next stage.

        Raises:
            ConflictError: the table has no such move.
        """
        if stage not in ALLOWED_MOVES[self.stage]:
            raise ConflictError(
                f"{self.component} {self.version} cannot go from {self.stage} to {stage}.",
                hint="Run 'edgehost history' to see how it got there.",
            )
        share = self.share if stage is Stage.CANDIDATE else None
        awaited = stage is Stage.SHELVED and self.stage is Stage.LIVE
        if self.awaited and stage in {Stage.STAGED, Stage.PROBED, Stage.SHELVED}:
            awaited = True  # a try to bring it back ends nothing
        return replace(
            self,
            stage=stage,
            changed_at=at,
            reason=reason,
            share=share,
            pinned=self.pinned and (awaited or stage is Stage.LIVE),
            awaited=awaited,
        )

    def after_restart(self) -> Release:
        """The same release as found when the host starts: never half-way between two stages."""
        stage = AFTER_RESTART.get(self.stage)
        return self if stage is None else replace(self, stage=stage)
