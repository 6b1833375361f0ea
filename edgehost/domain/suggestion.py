"""Did-you-mean for unknown names."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known word, or lists the known ones when none is close."""
    names = sorted(known)
    if close := closest(word, names):
        return f"Did you mean '{close}'?"
    return f"Known: {', '.join(names)}." if names else ""


def closest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known word that is most like this one; None when none is as like as that, where 1.0 is the same."""
    import difflib  # noqa: PLC0415 - for mistakes only

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=likeness)), None)
