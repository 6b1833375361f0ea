"""The paths that models declare for themselves: custom routes, and inbound ports with a path of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import EndpointTakenError, InvalidSpecificationError
from edgehost.domain.model_spec import ModelSpec, RouteSpec
from edgehost.domain.port_spec import Direction
from edgehost.domain.route_path import ANY_STEP, parameter_name, read_route_path, shape_of

_HERE: Final = ""  # no step is empty


@dataclass(frozen=True, slots=True)
class PortRoute:
    """An inbound port behind a path of its own."""

    port: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveRoute:
    """One path and what answers there, by method."""

    endpoint: str
    component: str
    steps: tuple[str, ...]
    answers: Mapping[str, RouteSpec | PortRoute]

    @property
    def path(self) -> str:
        """The path below the API's root, as declared."""
        return "/".join(self.steps)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A moment's routes; never changed. Literal steps win over ``{name}``."""

    by_shape: Mapping[tuple[str, ...], LiveRoute] = field(default_factory=dict)
    _tree: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: Iterable[LiveRoute]) -> RouteTable:
        """The table of these routes."""
        by_shape: dict[tuple[str, ...], LiveRoute] = {}
        tree: dict[str, Any] = {}
        for route in routes:
            shape = shape_of(route.steps)
            by_shape[shape] = route
            node = tree
            for step in shape:
                node = node.setdefault(step, {})
            node[_HERE] = route
        return cls(by_shape, tree)

    def at(self, steps: tuple[str, ...]) -> tuple[LiveRoute, dict[str, str]] | None:
        """The route at a path, and what its parameters stand for; None when nothing is there."""
        route = _found(self._tree, steps)
        if route is None:
            return None
        named = zip(route.steps, steps, strict=True)
        return route, {name: given for step, given in named if (name := parameter_name(step))}


def routes_of(component: str, model: ModelSpec) -> tuple[LiveRoute, ...]:
    """The routes that a model declares, one for each path.

    Raises:
        InvalidSpecificationError: a path is none, or two answers are declared for one method of it.
    """
    found: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, RouteSpec | PortRoute]]] = {}
    for path, answer in _declared(model):
        steps = read_route_path(path)
        first, answers = found.setdefault(shape_of(steps), (steps, {}))
        if first != steps:
            raise InvalidSpecificationError(
                f"the paths '{'/'.join(first)}' and '{'/'.join(steps)}' differ in a name only.",
                hint="Use the same names in both.",
            )
        for method in answer.methods:
            if method in answers:
                raise InvalidSpecificationError(f"{method} of the path '{path[:80]}' is declared twice.")
            answers[method] = answer
    return tuple(LiveRoute(model.endpoint, component, steps, answers) for steps, answers in found.values())


def require_free_routes(table: RouteTable, routes: Iterable[LiveRoute]) -> None:
    """Check that no other component answers at these paths.

    Raises:
        EndpointTakenError: one does.
    """
    for route in routes:
        other = table.by_shape.get(shape_of(route.steps))
        if other is not None and other.component != route.component:
            raise EndpointTakenError(
                f"The path '{route.path}' is served by '{other.component}'.",
                hint="Choose another path, or retire the other component first.",
            )


def _declared(model: ModelSpec) -> Iterator[tuple[str, RouteSpec | PortRoute]]:
    for route in model.routes:
        yield route.path, route
    for name, port in model.ports.items():
        if port.direction is Direction.INBOUND and port.path and port.enabled:
            yield port.path, PortRoute(name, port.methods)


def _found(node: Mapping[str, Any], steps: tuple[str, ...]) -> LiveRoute | None:
    if not steps:
        return node.get(_HERE)
    for step in (steps[0], ANY_STEP):
        below = node.get(step) if step != _HERE else None
        if below is not None:
            route = _found(below, steps[1:])
            if route is not None:
                return route
    return None
