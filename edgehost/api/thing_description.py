"""A model as a W3C Thing Description 1.1: its records, commands, ports and events, with a form for each way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from edgehost.api.reading import JSON, MERGE_PATCH
from edgehost.api.thing_schemas import data_schema
from edgehost.domain.port_spec import Direction, PortSpec
from edgehost.domain.record import ID_PATTERN
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.run_command import commands_of

Json = dict[str, Any]

MEDIA_TYPE: Final = "application/td+json"
_CONTEXT: Final = [
    "https://www.w3.org/2022/wot/td/v1.1",
    {"htv": "http://www.w3.org/2011/http#", "mqv": "http://www.example.org/mqtt-binding#"},
]
_CHANGES: Final = {
    "created": "edgehost.record.created",
    "updated": "edgehost.record.updated",
    "deleted": "edgehost.record.deleted",
}


@dataclass(frozen=True, slots=True)
class ThingPlaces:
    """Where things are reached; what is empty is not offered."""

    base: str  # "http://127.0.0.1:8420/api/"
    host_name: str
    has_token: bool = False
    brokers: tuple[str, ...] = ()  # "mqtt://broker:1883", that ports with a topic listen to
    coap_base: str = ""  # "coap://host/api/"


def thing_description(model: LiveModel, places: ThingPlaces) -> Json:
    """The description of a model."""
    forms = _Forms(model, places)
    scheme = (
        {"scheme": "bearer", "in": "header", "format": "opaque"} if places.has_token else {"scheme": "nosec"}
    )
    record = _record_schema(model)
    return {
        "@context": list(_CONTEXT),
        "id": thing_id(model, places),
        "title": model.spec.name,
        **({"description": model.description} if model.description else {}),
        "version": {"instance": model.version},
        "base": places.base,
        "securityDefinitions": {"access": scheme},
        "security": ["access"],
        "properties": {"records": _records(forms, record), "record": _record(forms, record)},
        "actions": _actions(model, forms, record),
        "events": {name: _change(forms, kind, record) for name, kind in _CHANGES.items()},
        "links": [{"rel": "service-desc", "href": "openapi.json", "type": "application/json"}],
    }


def thing_id(model: LiveModel, places: ThingPlaces) -> str:
    """What the model is called among all things."""
    return f"urn:edgehost:{quote(places.host_name, safe='')}:{model.spec.name}"


class _Forms:
    """The forms of one model."""

    def __init__(self, model: LiveModel, places: ThingPlaces) -> None:
        self._path = f"models/{model.spec.endpoint}"
        self._places = places
        self.model = model

    def http(self, operation: str, method: str, below: str = "", **more: Any) -> list[Json]:  # noqa: ANN401 - JSON
        """Over HTTP, and over CoAP where that is offered."""
        forms = [self._form(self._path + below, operation, **more) | {"htv:methodName": method}]
        if self._places.coap_base and "subprotocol" not in more:
            forms.append(self._form(self._places.coap_base + self._path + below, operation, **more))
        return forms

    def events(self, operation: str, kind: str) -> list[Json]:
        """As server-sent events, and over the WebSocket."""
        query = f"?model={quote(self.model.spec.name)}" + (f"&type={quote(kind)}" if kind else "")
        socket = f"ws{self._places.base.removeprefix('http')}ws"
        return [
            self._form(f"events{query}", operation, contentType="text/event-stream", subprotocol="sse"),
            self._form(socket, operation, subprotocol="edgehost.v1"),
        ]

    def topic(self, topic: str) -> list[Json]:
        """Over MQTT, at every broker that is listened to."""
        return [
            self._form(broker, "invokeaction") | {"mqv:controlPacket": "publish", "mqv:topic": topic}
            for broker in self._places.brokers
        ]

    @staticmethod
    def _form(href: str, operation: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
        return {"href": href, "op": [operation], "contentType": JSON, **more}


def _id_variable() -> Json:
    return {"id": {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}}


def _records(forms: _Forms, record: Json) -> Json:
    page = {
        "type": "object",
        "properties": {"records": {"type": "array", "items": record}, "next_cursor": {"type": "string"}},
        "required": ["records", "next_cursor"],
    }
    return {
        **page,
        "title": "A page of records",
        "readOnly": True,
        "observable": True,
        "uriVariables": {"limit": {"type": "integer", "minimum": 1}, "cursor": {"type": "string"}},
        "forms": forms.http("readproperty", "GET", "{?limit,cursor}") + forms.events("observeproperty", ""),
    }


def _record(forms: _Forms, record: Json) -> Json:
    change: Json = {"contentType": MERGE_PATCH}
    return {
        **record,
        "title": "One record",
        "uriVariables": _id_variable(),
        "forms": forms.http("readproperty", "GET", "/{id}")
        + forms.http("writeproperty", "PATCH", "/{id}", **change),
    }


def _actions(model: LiveModel, forms: _Forms, record: Json) -> Json:
    data = data_schema(model.schema.document)
    actions: Json = {
        "create": {"input": data, "output": record, "forms": forms.http("invokeaction", "POST")},
        "delete": {
            "uriVariables": _id_variable(),
            "idempotent": True,
            "forms": forms.http("invokeaction", "DELETE", "/{id}"),
        },
    }
    for command in commands_of(model.spec):
        spec = model.spec.commands.get(command)
        actions[command if command not in actions else f"command-{command}"] = {
            **({"description": spec.description} if spec is not None and spec.description else {}),
            "uriVariables": _id_variable(),
            "output": {"type": "object"},
            "forms": forms.http("invokeaction", "POST", f"/{{id}}/commands/{command}"),
        }
    for name, port in model.spec.ports.items():
        if port.direction is Direction.INBOUND and port.enabled:
            actions[f"port-{name}"] = _port(forms, name, port)
    return actions


def _port(forms: _Forms, name: str, port: PortSpec) -> Json:
    offered = [
        form for method in port.methods for form in forms.http("invokeaction", method, f"/ports/{name}")
    ]
    offered += [
        form
        for method in port.methods
        for form in forms.http("invokeaction", method, f"/{{id}}/ports/{name}")
    ]
    return {
        **({"description": port.description} if port.description else {}),
        "uriVariables": _id_variable(),
        "output": {"type": "object"},
        "forms": offered + (forms.topic(port.topic) if port.topic else []),
    }


def _change(forms: _Forms, kind: str, record: Json) -> Json:
    properties: Mapping[str, Any] = record["properties"]
    told = {name: properties[name] for name in ("model", "id", "revision", "data") if name in properties}
    if kind.endswith("deleted"):
        told.pop("data", None)
    data = {"type": "object", "properties": {"data": {"type": "object", "properties": told}}}
    return {"title": kind, "data": data, "forms": forms.events("subscribeevent", kind)}


def _record_schema(model: LiveModel) -> Json:
    return {
        "type": "object",
        "properties": {
            "model": {"type": "string", "const": model.spec.name},
            "id": {"type": "string"},
            "data": data_schema(model.schema.document),
            "revision": {"type": "string"},
            "created_at": {"type": "number"},
            "updated_at": {"type": "number"},
        },
        "required": ["model", "id", "data", "revision", "created_at", "updated_at"],
    }
