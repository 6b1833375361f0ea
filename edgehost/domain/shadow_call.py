"""The refusal of whatever a shadow call would do to the world."""

from __future__ import annotations

from edgehost.domain.errors import RefusedError


class ShadowCallError(RefusedError):
    """A copy of a call, made to compare answers, asked for something with an effect."""

    code = "shadow"
