"""The words for what a repository does when it cannot be trusted."""

from __future__ import annotations

import enum

from edgehost.domain.errors import UntrustedReleaseError


class Attack(enum.StrEnum):
    """What it looks like; a mistake of the publisher looks the same."""

    ROLLBACK = "rollback"
    FREEZE = "freeze"
    MIX_AND_MATCH = "mix-and-match"
    WRONG_KEYS = "wrong keys"
    TAMPERING = "tampering"
    ENDLESS_DATA = "endless data"
    MALFORMED = "malformed metadata"


_HINTS: dict[Attack, str] = {
    Attack.ROLLBACK: "An older state is served than was seen before: mirror the repository again.",
    Attack.FREEZE: "Check this machine's clock; if it is right, the publisher must run 'edgehost remote refresh'.",
    Attack.MIX_AND_MATCH: "Files of different states are served together: mirror the repository again.",
    Attack.WRONG_KEYS: "Check that the configured root.json is this remote's, and who has its keys.",
    Attack.TAMPERING: "The bytes are not those that were signed: mirror the repository again.",
    Attack.ENDLESS_DATA: "The remote serves more bytes than were signed for or than this host accepts.",
    Attack.MALFORMED: "Publish with a version of edgehost that this host understands.",
}


def untrusted(attack: Attack, remote: str, what: str, *, hint: str = "") -> UntrustedReleaseError:
    """The error for this refusal."""
    return UntrustedReleaseError(
        f"Remote '{remote}' is refused ({attack}): {what}", hint=hint or _HINTS[attack]
    )
