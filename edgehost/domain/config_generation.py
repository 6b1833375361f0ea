"""Generations of a host's configuration: which one is to run, and what became of the others.

Rule 1: a generation is on trial until the host has been well on it for a while; then it is good.
Rule 2: when one fails, the newest good one before it runs again. One that failed is never chosen again by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from edgehost.domain.errors import ConflictError, NotFoundError

#: Generations whose text is kept; the last good one and the current one always are.
MOST_KEPT: Final = 10
#: A power cut is not the configuration's fault; a second unclean end within one trial is taken for it.
UNCLEAN_ENDS_THAT_CONDEMN: Final = 2
_LONGEST_REASON: Final = 500


class Standing(enum.StrEnum):
    """What is known of a generation."""

    TRIAL = "trial"
    GOOD = "good"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # replaced before it had proved itself
    REVERTED = "reverted"  # an operator went back from it


@dataclass(frozen=True, slots=True)
class Generation:
    """One configuration that this host was given."""

    number: int
    digest: str  # sha256 of its text
    at: float  # unix seconds by the host's clock
    origin: str  # file, operator, mqtt:<who>, deployment:<id>
    standing: Standing = Standing.TRIAL
    reason: str = ""  # why it failed
    unclean_ends: int = 0  # while it was on trial

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "standing": str(self.standing)}


@dataclass(frozen=True, slots=True)
class Generations:
    """All that are remembered, oldest first, and which file content was last taken for one."""

    all: tuple[Generation, ...] = ()
    seen_file: str = ""  # sha256 of the configuration file when it was last looked at

    @property
    def last_good(self) -> Generation | None:
        """The newest that has proved itself."""
        return next((each for each in reversed(self.all) if each.standing is Standing.GOOD), None)

    @property
    def chosen(self) -> Generation | None:
        """The one to run: the newest while it is on trial, else the last good one."""
        if self.all and self.all[-1].standing is Standing.TRIAL:
            return self.all[-1]
        return self.last_good

    def require(self, number: int) -> Generation:
        """The generation with this number.

        Raises:
            NotFoundError: there is none.
        """
        for each in self.all:
            if each.number == number:
                return each
        known = ", ".join(str(each.number) for each in self.all) or "none"
        raise NotFoundError(f"There is no generation {number}.", hint=f"Known: {known}.")

    def proposed(self, digest: str, origin: str, *, at: float, after: int = 0) -> Generations:
        """With one more generation, on trial; one that was still on trial is superseded.

        ``after`` is the largest number that is known to have been given already.
        """
        number = max([after, *(each.number for each in self.all)]) + 1
        earlier = tuple(
            replace(each, standing=Standing.SUPERSEDED) if each.standing is Standing.TRIAL else each
            for each in self.all
        )
        return replace(self, all=_bounded((*earlier, Generation(number, digest, at, origin))))

    def confirmed(self, number: int) -> Generations:
        """With a generation that has proved itself."""
        return self._with(replace(self.require(number), standing=Standing.GOOD, reason="", unclean_ends=0))

    def failed(self, number: int, reason: str) -> Generations:
        """With a generation that is not chosen again."""
        return self._with(
            replace(self.require(number), standing=Standing.FAILED, reason=reason[:_LONGEST_REASON])
        )

    def ended_uncleanly(self, number: int) -> Generations:
        """After the host died on a generation that was on trial; condemned when it was the second time."""
        generation = self.require(number)
        if generation.standing is not Standing.TRIAL:
            return self
        generation = replace(generation, unclean_ends=generation.unclean_ends + 1)
        if generation.unclean_ends >= UNCLEAN_ENDS_THAT_CONDEMN and self.last_good is not None:
            return self.failed(number, f"The host died on it {generation.unclean_ends} times.")
        return self._with(generation)

    def taken_back(self, reason: str) -> Generations:
        """Back to the good generation before the one that is chosen.

        Raises:
            ConflictError: there is none.
        """
        current = self.chosen
        if current is not None:
            reverted = replace(current, standing=Standing.REVERTED, reason=reason[:_LONGEST_REASON])
            back = self._with(reverted)
            if back.chosen is not None:
                return back
        raise ConflictError(
            "There is no earlier good generation to go back to.",
            hint="'edgehost config ls' lists what there is; apply another file instead.",
        )

    def _with(self, changed: Generation) -> Generations:
        return replace(
            self, all=tuple(changed if each.number == changed.number else each for each in self.all)
        )

    def document(self) -> dict[str, Any]:
        """As it is stored."""
        return {"seen_file": self.seen_file, "generations": [each.document() for each in self.all]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Generations:
        """What was stored.

        Raises:
            ValueError, KeyError, TypeError: something else was.
        """
        return cls(
            tuple(
                Generation(**{**each, "standing": Standing(each["standing"])})
                for each in document["generations"]
            ),
            str(document["seen_file"]),
        )


def _bounded(generations: tuple[Generation, ...]) -> tuple[Generation, ...]:
    good = next((each for each in reversed(generations) if each.standing is Standing.GOOD), None)
    kept = generations[-MOST_KEPT:]
    return kept if good is None or good in kept else (good, *kept[1:])
