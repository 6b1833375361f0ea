"""Ranges of semantic versions, as npm and cargo users write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import semver

from edgehost.domain.errors import InvalidConfigError

_TERM: Final = re.compile(
    r"(\^|~|>=|<=|>|<|==|=|!=)?\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Comma-separated terms that must all hold: ``*``, ``^1.2``, ``~1.2.3``, ``>=1,<2``, ``1.2.3``."""

    text: str
    bounds: tuple[str, ...]  # as semver.Version.match understands them

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Read a range.

        Raises:
            InvalidConfigError: a term cannot be understood.
        """
        bounds: list[str] = []
        for term in (part.strip() for part in text.split(",")):
            if term in {"*", ""}:
                continue
            bounds += _bounds(term)
        return cls(text, tuple(bounds))

    def allows(self, version: str) -> bool:
        """Whether the version lies in the range. A pre-release must be named by a bound of its own version."""
        parsed = semver.Version.parse(version)
        if parsed.prerelease and not any(
            str(parsed.finalize_version()) + "-" in bound for bound in self.bounds
        ):
            return False
        return all(parsed.match(bound) for bound in self.bounds)


ANY_VERSION: Final = VersionRange("*", ())


def _bounds(term: str) -> list[str]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise InvalidConfigError(
            f"{term!r} is no version range.", hint="Write '*', '^1.2', '~1.2.3', '>=1.0,<2' or '1.2.3'."
        )
    operator, major, minor, patch, pre = match[1] or "", int(match[2]), match[3], match[4], match[5] or ""
    low = f"{major}.{minor or 0}.{patch or 0}{pre}"
    if operator in {"^", "~", "", "=", "=="}:
        high = _upper(operator, major, minor, patch)
        return [f"=={low}"] if high is None else [f">={low}", f"<{high}"]
    return [f"{operator}{low}"]


def _upper(operator: str, major: int, minor: str | None, patch: str | None) -> str | None:
    """The first version above a caret, tilde or shortened term; None when the term names one version."""
    if operator == "^":
        if major or minor is None:
            return f"{major + 1}.0.0"
        if int(minor) or patch is None:
            return f"0.{int(minor) + 1}.0"
        return f"0.0.{int(patch) + 1}"
    if minor is None:
        return f"{major + 1}.0.0"
    if operator == "~" or patch is None:
        return f"{major}.{int(minor) + 1}.0"
    return None
