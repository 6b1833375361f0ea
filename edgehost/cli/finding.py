"""What ``edgehost doctor`` found out about one thing."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How it is; only ``wrong`` makes the exit code 1."""

    GOOD = "ok"
    NOTE = "note"  # works, but somebody should know
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: how it is and, unless it is good, what to do."""

    subject: str
    state: State
    what: str
    advice: str = ""


def good(subject: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, State.GOOD, what)


def note(subject: str, what: str, advice: str = "") -> Finding:
    """It works; this is how it would be better."""
    return Finding(subject, State.NOTE, what, advice)


def wrong(subject: str, what: str, advice: str) -> Finding:
    """It does not work until somebody does this."""
    return Finding(subject, State.WRONG, what, advice)
