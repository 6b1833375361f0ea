"""The models that are served now: one table, replaced in one assignment."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import EndpointTakenError, IncompatibleReleaseError, NotFoundError
from edgehost.domain.json_text import write_json
from edgehost.domain.model_consistency import encrypted_members
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record_schema import RecordSchema
from edgehost.domain.route_table import RouteTable, require_free_routes, routes_of
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.traffic import DEFAULT_HEADER
from edgehost.domain.workflow_graph import require_no_circle


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model of a live release."""

    component: str
    version: str
    digest: str
    spec: ModelSpec
    schema: RecordSchema
    description: str = ""
    sticky_header: str = DEFAULT_HEADER  # whose word keeps a caller with one version


@dataclass(frozen=True, slots=True)
class ModelTable:
    """A moment's models; never changed, so whoever holds one sees a consistent whole."""

    by_endpoint: Mapping[str, LiveModel] = field(default_factory=dict)
    by_name: Mapping[str, LiveModel] = field(default_factory=dict)
    routes: RouteTable = field(default_factory=RouteTable)

    @classmethod
    def of(cls, models: Iterable[LiveModel]) -> ModelTable:
        """The table of these models, by endpoint."""
        ordered = sorted(models, key=lambda model: model.spec.endpoint)
        return cls(
            {model.spec.endpoint: model for model in ordered},
            {model.spec.name: model for model in ordered},
            RouteTable.of(route for model in ordered for route in routes_of(model.component, model.spec)),
        )

    def at(self, endpoint: str) -> LiveModel:
        """The model served at an endpoint.

        Raises:
            NotFoundError: none is.
        """
        model = self.by_endpoint.get(endpoint)
        if model is None:
            raise NotFoundError(
                f"No model is served at '{endpoint[:80]}'.",
                hint=did_you_mean(endpoint[:80], self.by_endpoint),
            )
        return model

    def named(self, name: str) -> LiveModel:
        """The model with a name.

        Raises:
            NotFoundError: none is live.
        """
        model = self.by_name.get(name)
        if model is None:
            raise NotFoundError(
                f"No model '{name[:80]}' is live.", hint=did_you_mean(name[:80], self.by_name)
            )
        return model


class LiveModels:
    """Which models are served; routes appear and vanish with the releases that bring them."""

    def __init__(self, *, has_keys: bool = True) -> None:
        self._table = ModelTable()
        self._has_keys = has_keys
        self.listeners: list[Callable[[], None]] = []  # told at once when another table has taken its place

    @property
    def table(self) -> ModelTable:
        """The models of this moment."""
        return self._table

    def require_free(self, spec: ComponentSpec) -> None:
        """Check that the component's model can be served beside those of the other components.

        Raises:
            IncompatibleReleaseError: it wants to encrypt, and this host has no key.
            EndpointTakenError: another component serves its endpoint or a path of it, or has its model name.
            InvalidSpecificationError: its schema or a path cannot be used, or its ports and those of the other
                models would lead to each other in a circle.
        """
        if spec.model is None:
            return
        secret = sorted(encrypted_members(spec.model))
        if secret and not self._has_keys:
            raise IncompatibleReleaseError(
                f"The model '{spec.model.name}' encrypts '{secret[0]}', and this host has no key.",
                hint="Set [security] key_file.",
            )
        _require_free(self._table, spec.name, spec.model)
        _schema_of(spec.model)
        others = (each for each in self._table.by_endpoint.values() if each.component != spec.name)
        require_no_circle((*(each.spec for each in others), spec.model))

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        """Serve this release's model from now on, in place of the component's earlier one.

        Raises:
            EndpointTakenError, InvalidSpecificationError: as for require_free; nothing was changed.
        """
        others = [model for model in self._table.by_endpoint.values() if model.component != spec.name]
        if spec.model is not None:
            _require_free(self._table, spec.name, spec.model)
            others.append(
                LiveModel(
                    component=spec.name,
                    version=spec.version,
                    digest=digest,
                    spec=spec.model,
                    schema=_schema_of(spec.model),
                    description=spec.description,
                )
            )
        self._replace(others)

    def withdraw(self, component: str) -> None:
        """Serve the component's model no longer."""
        self._replace(model for model in self._table.by_endpoint.values() if model.component != component)

    def stick(self, component: str, header: str) -> None:
        """Take the word that the component's calls stick to from this request header."""
        self._replace(
            replace(model, sticky_header=header) if model.component == component else model
            for model in self._table.by_endpoint.values()
        )

    def _replace(self, models: Iterable[LiveModel]) -> None:
        self._table = ModelTable.of(models)
        for listener in self.listeners:
            listener()


def _schema_of(model: ModelSpec) -> RecordSchema:
    try:
        text = write_json(model.schema)
    except (TypeError, ValueError, RecursionError):
        return RecordSchema(model.schema)  # which says what is wrong with it
    return _compiled(text)


@functools.lru_cache(maxsize=16)
def _compiled(schema: bytes) -> RecordSchema:
    """Releases of a component seldom change its schema, and a swap under load should not wait for it."""
    return RecordSchema(json.loads(schema))


def _require_free(table: ModelTable, component: str, model: ModelSpec) -> None:
    served = table.by_endpoint.get(model.endpoint)
    if served is not None and served.component != component:
        raise EndpointTakenError(
            f"The endpoint '{model.endpoint}' is served by '{served.component}' {served.version}.",
            hint="Give the model another endpoint, or retire the other component first.",
        )
    named = table.by_name.get(model.name)
    if named is not None and named.component != component:
        raise EndpointTakenError(
            f"The model name '{model.name}' belongs to '{named.component}' {named.version}.",
            hint="Give the model another name, or retire the other component first.",
        )
    require_free_routes(table.routes, routes_of(component, model))
