"""What the running host's doctor says of one thing."""

from __future__ import annotations


def finding(check: str, state: str, detail: str, hint: str = "") -> dict[str, str]:
    """``state`` is "ok", "warning" or "failed"; a hint says what to do next."""
    return {"check": check, "state": state, "detail": detail, "hint": hint}
