"""What the pages of the document are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.api.reading import JSON
from edgehost.domain.record import ID_PATTERN
from edgehost.usecases.live_models import LiveModel

Json = dict[str, Any]

PROBLEM: Final[Json] = {"$ref": "#/components/responses/Problem"}


def operation(
    summary: str,
    operation_id: str,
    responses: Mapping[str, Json],
    *,
    parameters: list[Json] | None = None,
    body: Mapping[str, Json] | None = None,
) -> Json:
    """One operation; whatever goes wrong is a problem document."""
    operation: Json = {
        "summary": summary,
        "operationId": operation_id,
        "responses": {**responses, "default": PROBLEM},
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": dict(body)}
    return operation


def ok(description: str, schema: Json, *, headers: tuple[str, ...] = ()) -> Json:
    """A response in JSON."""
    response: Json = {"description": description, "content": {JSON: {"schema": schema}}}
    if headers:
        response["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return response


def header(name: str, description: str) -> Json:
    """A request header that is a text."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def id_parameter() -> Json:
    """The id in a path."""
    return {"name": "id", "in": "path", "required": True, "schema": id_schema()}


def id_schema() -> Json:
    """What an id looks like."""
    return {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}


def data_name(model: LiveModel) -> str:
    """What the schema of the model's data is called."""
    return f"{model.spec.endpoint}-data"


def record_name(model: LiveModel) -> str:
    """What the schema of its records is called."""
    return f"{model.spec.endpoint}-record"


def new_name(model: LiveModel) -> str:
    """What the schema of its new records is called."""
    return f"{model.spec.endpoint}-new"


def patch_name(model: LiveModel) -> str:
    """What the schema of changes to its records is called."""
    return f"{model.spec.endpoint}-patch"
