"""What is said when no loader answers, whichever program asked."""

from __future__ import annotations

from edgehost.domain.errors import NoSyncError


def no_loader(line: str, hint: str, *, was_heard: bool) -> NoSyncError:
    """Silence and strange words have different causes: the wiring, or another board."""
    heard = (
        "Something else was heard there: another board, or firmware that runs?"
        if was_heard
        else "Nothing was heard there: is it the right line, and does its cable carry data?"
    )
    return NoSyncError(f"The loader in the chip's ROM does not answer on {line}.", hint=f"{hint} {heard}")
