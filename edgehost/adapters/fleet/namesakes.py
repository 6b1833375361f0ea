"""Two hosts of one name notice each other by an id that every start has; the one that has run longer keeps the name.

Nobody throws the other out: the younger one shows nothing and takes no commands until the elder has been silent for a
while. Uptimes are compared, since clocks may be wrong. Pure: messages and times come from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.spec_reader import SpecReader

#: While another is there, both say so this often; after three silent turns it is gone.
CLAIM_S: Final = 20.0
_SILENT_TURNS: Final = 3.25
_MOST_BYTES: Final = 1024
_MOST_OTHERS: Final = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """One host's word that it is the one of this name."""

    boot: str  # new at every start
    up_s: float
    where: str  # for people: machine and process
    to: str = ""  # an answer to this boot


@dataclass(slots=True)
class Namesakes:
    """Who else answers to this host's name."""

    boot: str
    where: str
    claim_s: float = CLAIM_S
    others: dict[str, tuple[Claim, float, float]] = field(
        default_factory=dict
    )  # claim, heard at, ahead of us by

    def claim(self, up_s: float, *, to: str = "") -> bytes:
        """What this host says."""
        claim = Claim(self.boot, up_s, self.where, to)
        return write_json(
            {"boot": claim.boot, "up_s": round(claim.up_s, 3), "where": claim.where, "to": claim.to}
        )

    def hear(self, claim: Claim, *, up_s: float, now: float) -> bool:
        """Note another's word; whether it is to be answered. ``now`` is monotonic."""
        if claim.boot == self.boot or (claim.boot not in self.others and len(self.others) >= _MOST_OTHERS):
            return False
        self.others[claim.boot] = (claim, now, claim.up_s - up_s)
        return not claim.to

    def forget_silent(self, now: float) -> None:
        """Those that have been silent for too long are gone."""
        self.others = {
            boot: each for boot, each in self.others.items() if now - each[1] < _SILENT_TURNS * self.claim_s
        }

    @property
    def yields(self) -> bool:
        """Whether another one has run for longer; within a tick the smaller id is the elder."""
        return any(
            ahead > 0 or (ahead == 0 and boot < self.boot) for boot, (_, _, ahead) in self.others.items()
        )

    @property
    def shown(self) -> str:
        """Where they are, for people; empty when there are none."""
        return ", ".join(claim.where for claim, _, _ in self.others.values())


def read_claim(payload: bytes) -> Claim:
    """A claim from the broker.

    Raises:
        RefusedError: it is none.
    """
    document: Any = read_json(payload) if len(payload) <= _MOST_BYTES else None
    if not isinstance(document, Mapping):
        raise RefusedError("It is no claim.")
    table = SpecReader(document, error=RefusedError)
    return Claim(
        boot=table.text("boot", longest=64),
        up_s=table.number("up_s", least=0, most=10**12),
        where=table.text("where", longest=256),
        to=table.text("to", default="", longest=64),
    )


def ended_in(status: bytes) -> str:
    """The boot that a status says has ended: its goodbye, or the will that a broker has published for it."""
    try:
        document: Any = read_json(status) if len(status) <= _MOST_BYTES else None
    except RefusedError:
        return ""
    is_end = isinstance(document, Mapping) and document.get("status") == "offline"
    return str(document.get("boot", "")) if is_end else ""


def may_be_elder(status: bytes | None, boot: str) -> bool:
    """Whether a retained status is of another start that may still run."""
    try:
        document = read_json(status) if status is not None else None
    except RefusedError:
        return False
    return isinstance(document, dict) and document.get("status") == "online" and document.get("boot") != boot
