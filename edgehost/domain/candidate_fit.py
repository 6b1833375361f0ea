"""Whether a release can run beside the main one: both serve the same records, through the main one's routes.

Schemas must be the same, annotations aside, but where the main release leaves an object open the candidate may
know more members, as long as it does not require them. So what either writes, the other reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import IncompatibleReleaseError
from edgehost.domain.json_text import same_json
from edgehost.domain.model_spec import ModelSpec

#: Keywords that say something to people and nothing to a validator.
_ANNOTATIONS: Final = frozenset(
    {"$comment", "$id", "$schema", "default", "deprecated", "description", "examples", "format", "title"}
    | {"readOnly", "writeOnly"}
)
#: Keywords that hold schemas by name.
_NAMED: Final = ("properties", "$defs", "patternProperties")
#: Parts of a model that decide where its records are, what guards them and which export the host calls.
_SAME: Final = ("name", "endpoint", "domain", "source", "properties", "serializers")
_HOOKS: Final = ("factory", "validate", "on_update", "on_delete")


def require_candidate(main: ComponentSpec, candidate: ComponentSpec) -> None:
    """Check that the candidate can stand in for the main release in any call.

    Raises:
        IncompatibleReleaseError: the message says what differs.
    """
    reason = _difference(main, candidate)
    if reason:
        raise IncompatibleReleaseError(
            f"{candidate.name} {candidate.version} cannot run beside {main.version}: {reason}",
            hint="Deploy it instead: 'edgehost deploy NAME@VERSION'.",
        )


def schema_difference(main: Any, candidate: Any, path: str = "") -> str:  # noqa: ANN401 - JSON
    """The first place where the schemas differ in more than open members, with what differs; "" for none."""
    if not isinstance(main, Mapping) or not isinstance(candidate, Mapping):
        return "" if same_json(main, candidate) else f"'{path or '/'}' differs."
    for keyword in sorted({*main, *candidate} - _ANNOTATIONS - set(_NAMED)):
        if keyword in {"items", "additionalProperties"}:
            found = schema_difference(
                main.get(keyword, True), candidate.get(keyword, True), f"{path}/{keyword}"
            )
        else:
            same = same_json(main.get(keyword, _ABSENT), candidate.get(keyword, _ABSENT))
            found = "" if same else f"'{path}/{keyword}' differs."
        if found:
            return found
    for keyword in _NAMED:
        found = _named_difference(main, candidate, keyword, f"{path}/{keyword}")
        if found:
            return found
    return ""


_ABSENT: Final = "\0absent"


def _named_difference(main: Mapping[str, Any], candidate: Mapping[str, Any], keyword: str, path: str) -> str:
    before, after = main.get(keyword, {}), candidate.get(keyword, {})
    for name in before:
        if name not in after:
            return f"'{path}/{name}' is gone."
        found = schema_difference(before[name], after[name], f"{path}/{name}")
        if found:
            return found
    added = sorted(after.keys() - before.keys())
    if added and keyword == "patternProperties":
        return f"'{path}/{added[0]}' is new."
    if added and keyword == "properties" and _closed(main):
        return f"'{path}/{added[0]}' is new, and the running schema allows no other members."
    return ""


def _closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties", True) is not True or "unevaluatedProperties" in schema


def _difference(main: ComponentSpec, candidate: ComponentSpec) -> str:
    if main.kind != candidate.kind:
        return f"it is of kind '{candidate.kind}', not '{main.kind}'."
    if main.model is not None and candidate.model is not None:
        found = _model_difference(main.model, candidate.model)
        if found:
            return found
    missing = set(main.exports_used()) - {main.probe.export} - set(candidate.exports_used())
    if main.model is not None:
        missing.discard(main.model.migrate)
    if missing:
        return f"its specification does not name the export '{min(missing)}', which is in use."
    return ""


def _model_difference(main: ModelSpec, candidate: ModelSpec) -> str:
    if candidate.migrate:
        return "it migrates records (model.migrate), and the running release needs them as they are."
    for part in _SAME:
        if getattr(main, part) != getattr(candidate, part):
            return f"model.{part} differs."
    for hook in _HOOKS:
        if getattr(main, hook) != getattr(candidate, hook):
            return f"model.{hook} is '{getattr(candidate, hook)}', not '{getattr(main, hook)}'."
    for name, command in main.commands.items():
        other = candidate.commands.get(name)
        if other is None or other.export != command.export:
            return f"the command '{name}' is gone or has another export."
    found = schema_difference(main.schema, candidate.schema)
    return f"its schema differs: {found}" if found else ""
