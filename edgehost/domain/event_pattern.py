"""Patterns of event names, and an index that finds the patterns of a name without looking at the others.

A name is dotted: ``edgehost.record.created``, ``delivery.shipped``. In a pattern ``*`` stands for one step and
``**``, at the end, for one or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.names import EVENT, EVENT_PATTERN

ItemT = TypeVar("ItemT")

#: Names whose matches are remembered; components choose names, so there can be many.
_MOST_REMEMBERED: Final = 1024
_ONE: Final = "*"
_REST: Final = "**"
#: Names that only the host gives.
RESERVED: Final = "edgehost."


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern stands for the name."""
    wanted, steps = pattern.split("."), name.split(".")
    if wanted[-1] == _REST:
        wanted = wanted[:-1]
        if len(steps) <= len(wanted):
            return False
        steps = steps[: len(wanted)]
    return len(wanted) == len(steps) and all(
        want in (_ONE, step) for want, step in zip(wanted, steps, strict=True)
    )


def require_pattern(pattern: str) -> str:
    """The pattern itself, when it is one.

    Raises:
        InvalidSpecificationError: it is not.
    """
    if not EVENT_PATTERN.fullmatch(pattern):
        raise InvalidSpecificationError(
            f"{pattern[:80]!r} is no pattern of events.",
            hint="Write dotted lower-case names; '*' stands for one step, '**' at the end for the rest.",
        )
    return pattern


def require_own_name(name: str) -> str:
    """The name itself, when a component may give it to an event of its own.

    Raises:
        InvalidSpecificationError: it is no name, or one of the host's.
    """
    if not EVENT.fullmatch(name) or name.startswith(RESERVED):
        raise InvalidSpecificationError(
            f"{name[:80]!r} cannot be the name of a component's event.",
            hint=f"Write a dotted lower-case name that does not begin with '{RESERVED}'.",
        )
    return name


def holds(where: Mapping[str, Any], details: Mapping[str, Any]) -> bool:
    """Whether every dotted path of ``where`` has this value; a missing member is null."""
    return all(_same(value, member(details, path)) for path, value in where.items())


def member(details: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """The value at a dotted path; None where there is none."""
    value = details
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _same(left: object, right: object) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)  # true is not 1


@dataclass(slots=True, eq=False)
class _Node(Generic[ItemT]):
    steps: dict[str, _Node[ItemT]] = field(default_factory=dict)
    here: dict[int, ItemT] = field(default_factory=dict)  # patterns that end here, by order of arrival
    rest: dict[int, ItemT] = field(default_factory=dict)  # patterns that end in ** here

    @property
    def empty(self) -> bool:
        return not (self.steps or self.here or self.rest)


class PatternIndex(Generic[ItemT]):
    """Items by pattern. A look-up costs what it finds, not what is stored; names seen lately cost one look."""

    def __init__(self) -> None:
        self._root: _Node[ItemT] = _Node()
        self._next = 0
        self._found: dict[str, tuple[ItemT, ...]] = {}
        self._keys: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, pattern: str, item: ItemT) -> int:
        """Store the item under the pattern; returns the key by which it is removed.

        Raises:
            InvalidSpecificationError: it is no pattern.
        """
        require_pattern(pattern)
        steps = pattern.split(".")
        node = self._root
        for step in steps[:-1] if steps[-1] == _REST else steps:
            node = node.steps.setdefault(step, _Node())
        key, self._next = self._next, self._next + 1
        (node.rest if steps[-1] == _REST else node.here)[key] = item
        self._keys[key] = pattern
        self._found.clear()
        return key

    def discard(self, key: int) -> None:
        """Forget the item; harmless when it is gone."""
        pattern = self._keys.pop(key, None)
        if pattern is None:
            return
        steps = pattern.split(".")
        path = [self._root]
        names = steps[:-1] if steps[-1] == _REST else steps
        for step in names:
            path.append(path[-1].steps[step])
        path[-1].here.pop(key, None)
        path[-1].rest.pop(key, None)
        for node, step in zip(reversed(path[:-1]), reversed(names), strict=True):
            if node.steps[step].empty:
                del node.steps[step]
        self._found.clear()

    def matching(self, name: str) -> tuple[ItemT, ...]:
        """The items whose pattern stands for the name, in the order in which they were added."""
        found = self._found.get(name)
        if found is None:
            keyed: dict[int, ItemT] = {}
            for items in _walk(self._root, name.split("."), 0):
                keyed.update(items)
            found = tuple(item for _, item in sorted(keyed.items(), key=lambda pair: pair[0]))
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[name] = found
        return found


def _walk(node: _Node[ItemT], steps: list[str], at: int) -> Iterator[dict[int, ItemT]]:
    """At most two ways on at each step, and names have at most eight steps."""
    if at == len(steps):
        yield node.here
        return
    yield node.rest
    for way in (steps[at], _ONE):
        below = node.steps.get(way)
        if below is not None:
            yield from _walk(below, steps, at + 1)
