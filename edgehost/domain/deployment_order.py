"""Which component of a deployment comes after which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from edgehost.domain.deployment import WantedComponent
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.suggestion import did_you_mean


def require_order(components: Iterable[WantedComponent]) -> None:
    """Check that every component can have its turn.

    Raises:
        InvalidSpecificationError: one comes after a component that is not named, or after itself in a circle.
    """
    after = {wanted.name: wanted.after for wanted in components}
    for name, others in after.items():
        for other in others:
            if other not in after:
                raise InvalidSpecificationError(
                    f"components.{name}.after names '{other}', which is no component of this deployment.",
                    hint=did_you_mean(other, after),
                )
    in_order(after)


def in_order(after: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The names, each after those that it comes after.

    Raises:
        InvalidSpecificationError: there is a circle; the message names it.
    """
    try:
        return tuple(TopologicalSorter(after).static_order())
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        raise InvalidSpecificationError(
            f"components come after each other in a circle: {' after '.join(circle)}.",
            hint="Take one 'after' out.",
        ) from None
