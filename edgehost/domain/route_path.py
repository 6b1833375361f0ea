"""Paths that a component declares for itself, below the API's root: ``/forecast/{city}``."""

from __future__ import annotations

import re
from typing import Final

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.names import worded

#: Steps in one path; a look-up may go two ways at each.
MAX_STEPS: Final = 8
#: First steps that the host answers itself.
RESERVED: Final = frozenset({"models", "events", "host", "openapi.json", "things", "ws"})
#: Stands for any step where paths are compared.
ANY_STEP: Final = "{}"

_LITERAL: Final = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}"
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,31})\}")
#: A step of one's own, then up to seven of any kind.
ROUTE_PATH: Final = worded(
    rf"/?(?!({'|'.join(re.escape(word) for word in sorted(RESERVED))})(/|$)){_LITERAL}"
    rf"(/({_LITERAL}|\{{[A-Za-z_][A-Za-z0-9_]{{0,31}}\}})){{0,{MAX_STEPS - 1}}}",
    f"a path of up to {MAX_STEPS} steps such as nearby/{{city}}, whose first step is none of the host's own",
)


def read_route_path(path: str) -> tuple[str, ...]:
    """The steps of a declared path; ``{name}`` takes any one step.

    Raises:
        InvalidSpecificationError: it is none, or the host answers there itself.
    """
    if not ROUTE_PATH.fullmatch(path):
        raise InvalidSpecificationError(
            f"the path {path[:80]!r} is none that a component may have below the API's root.",
            hint=f"Write up to {MAX_STEPS} steps, 'forecast/{{city}}'; the first is a word other than "
            f"{', '.join(sorted(RESERVED))}.",
        )
    steps = tuple(path.removeprefix("/").split("/"))
    names = [found[1] for step in steps if (found := _PARAMETER.fullmatch(step))]
    if len(names) != len(set(names)):
        raise InvalidSpecificationError(f"the path {path[:80]!r} has two steps of one name.")
    return steps


def shape_of(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The steps without the names of their parameters: what two paths must not have in common."""
    return tuple(ANY_STEP if _PARAMETER.fullmatch(step) else step for step in steps)


def parameter_name(step: str) -> str:
    """The name in ``{name}``; empty for a literal step."""
    found = _PARAMETER.fullmatch(step)
    return found[1] if found else ""
