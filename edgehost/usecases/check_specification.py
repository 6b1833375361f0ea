"""All that is wrong with a component's specification, before anything is built of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgehost.domain.component_spec import Abi, ComponentSpec, Kind
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.model_consistency import members_named
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record_schema import RecordSchema
from edgehost.domain.spec_findings import Found, find_faults
from edgehost.domain.suggestion import did_you_mean

_DIRECTION = re.compile(r"model\.ports\.[^.]+\.direction")
#: What every record has beside its data.
_OF_EVERY_RECORD = ("id", "created_at", "updated_at")


def check_specification(document: Mapping[str, Any]) -> tuple[ComponentSpec, tuple[Found, ...]]:
    """The specification as far as it can be read, and every fault of the document and its schema."""
    told_by_module = document.get("abi") == Abi.AEGIS and document.get("kind") == Kind.MODEL
    if told_by_module:
        document = {"model": {}, **document}
    spec, faults = find_faults(document)
    if told_by_module:  # a port that component.toml only adds to has its direction from the module's getter
        faults = tuple(
            fault
            for fault in faults
            if not (_DIRECTION.fullmatch(fault.path) and "is missing" in fault.message)
        )
    seen = {fault.path for fault in faults}
    if spec.model is not None:
        faults += tuple(fault for fault in _faults_of(spec.model) if fault.path not in seen)
    return spec, faults


def require_known_members(model: ModelSpec) -> None:
    """Check the schema, and that it allows every member that the specification names.

    Raises:
        InvalidSpecificationError: the first fault.
    """
    for fault in _faults_of(model):
        error = InvalidSpecificationError(fault.message, hint=fault.hint)
        error.path = fault.path
        raise error


def _faults_of(model: ModelSpec) -> Iterator[Found]:
    try:
        schema = RecordSchema(model.schema)
    except InvalidSpecificationError as error:
        yield Found("model.schema", error.message, error.hint)
        return
    for path, member in members_named(model):
        if member in _OF_EVERY_RECORD:
            continue
        try:
            schema.type_of(member)
        except KeyError as unknown:
            last = member.rpartition(".")[2]
            yield Found(
                f"model.{path}",
                f"model.{path}: the schema allows no member '{member}'.",
                did_you_mean(last, [str(name) for name in unknown.args]),
                structural=False,
            )
