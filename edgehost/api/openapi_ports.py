"""The paths of a model's inbound ports and custom routes in the document."""

from __future__ import annotations

from typing import Final

from edgehost.api.openapi_models import outcome
from edgehost.api.openapi_parts import Json, id_parameter, ok, operation
from edgehost.api.reading import JSON
from edgehost.domain.port_spec import Direction
from edgehost.domain.route_path import parameter_name
from edgehost.domain.route_table import LiveRoute, PortRoute
from edgehost.usecases.live_models import LiveModel

_ANYTHING: Final[Json] = {"$ref": "#/components/schemas/Json"}
_BODY: Final[Json] = {JSON: {"schema": _ANYTHING}}
_BODILESS: Final = frozenset({"GET", "DELETE"})


def port_paths(model: LiveModel, root: str) -> Json:
    """The generated paths of the model's inbound ports."""
    base, paths = f"{root}/models/{model.spec.endpoint}", {}
    for name, spec in model.spec.ports.items():
        if spec.direction is not Direction.INBOUND or not spec.enabled:
            continue
        summary = spec.description or f"Ask the port {name}"
        for below, parameters, which in (
            ("/{id}", [id_parameter()], "of-record"),
            ("", [], "of-model"),
        ):
            item: Json = {"parameters": parameters} if parameters else {}
            for method in spec.methods:
                identity = f"{method.lower()}-{name}-{which}-{model.spec.endpoint}"
                item[method.lower()] = _port(model, summary, identity, method)
            paths[f"{base}{below}/ports/{name}"] = item
    return paths


def own_path(model: LiveModel, route: LiveRoute, root: str) -> Json:
    """A path that the component declared."""
    steps = [f"{{{name}}}" if (name := parameter_name(step)) else step for step in route.steps]
    item: Json = {}
    names = [name for step in route.steps if (name := parameter_name(step))]
    if names:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    for method, answer in route.answers.items():
        identity = f"{method.lower()}-{'-'.join(step.strip('{}') for step in route.steps)}"
        if isinstance(answer, PortRoute):
            description = model.spec.ports[answer.port].description
            item[method.lower()] = _port(
                model, description or f"Ask the port {answer.port}", identity, method
            )
        else:
            item[method.lower()] = _route(model, identity, method)
    return {f"{root}/{'/'.join(steps)}": item}


def _port(model: LiveModel, summary: str, identity: str, method: str) -> Json:
    made = operation(
        summary,
        identity,
        {"200": ok("What it answered", outcome(model))},
        body=None if method in _BODILESS else _BODY,
    )
    if "requestBody" in made:
        made["requestBody"]["required"] = False
    return made


def _route(model: LiveModel, identity: str, method: str) -> Json:
    made = operation(
        f"A route of {model.component}",
        identity,
        {"default": {"description": "What the component answers"}},
        body=None
        if method in _BODILESS
        else {JSON: {"schema": _ANYTHING}, "text/plain": {"schema": {"type": "string"}}},
    )
    made["responses"] = {"default": {"description": "What the component answers, or a problem (RFC 9457)"}}
    if "requestBody" in made:
        made["requestBody"]["required"] = False
    return made
