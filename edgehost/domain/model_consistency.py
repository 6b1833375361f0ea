"""What a model declares, held together: no key may contradict another, or be without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.event_pattern import RESERVED
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.route_path import ROUTE_PATH
from edgehost.domain.route_table import routes_of
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.workflow_graph import circle_in

#: A command that the host brings to every model with hashed members: it compares, and shows nothing.
VERIFY: Final = "verify"


def hashed_members(model: ModelSpec) -> frozenset[str]:
    """Members that are stored as a hash."""
    return frozenset(member for member, spec in model.properties.items() if spec.hashed)


def encrypted_members(model: ModelSpec) -> frozenset[str]:
    """Members that are encrypted where they are stored."""
    return frozenset(member for member, spec in model.properties.items() if spec.encrypted)


def opaque_members(model: ModelSpec) -> frozenset[str]:
    """Members that the store holds in another form than they were given in: nothing can be searched by them."""
    rewritten = {each.key for each in model.serializers if each.on == "storage"}
    return hashed_members(model) | encrypted_members(model) | rewritten


def require_consistent_model(table: SpecReader, model: ModelSpec) -> None:
    """Refuse what makes no sense within the model.

    Raises:
        InvalidSpecificationError: the first such thing; its path is given.
    """
    for path, what, hint in _contradictions(model):
        table.refuse(path, what, hint=hint)


def _contradictions(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    yield from _about_serializers(model)
    yield from _about_opaque_members(model)
    yield from _about_routes(model)
    yield from _about_workflow(model)
    if hashed_members(model) and VERIFY in model.commands:
        yield (
            f"commands.{VERIFY}",
            "is the host's own command of a model with hashed members.",
            "Name yours otherwise.",
        )
    for name, command in model.commands.items():
        if not command.acl:
            yield (
                f"commands.{name}.acl",
                "is empty: anybody could call it.",
                "Name the permissions that a caller needs.",
            )


def _about_serializers(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    counted = Counter((each.on, each.key) for each in model.serializers)
    for index, each in enumerate(model.serializers):
        path = f"serializers[{index}].key"
        spec = model.properties.get(each.key)
        if counted[each.on, each.key] > 1:
            yield path, f"is '{each.key}', which has another serializer on {each.on}.", "Drop one."
        elif spec is not None and spec.hashed:
            yield path, f"is '{each.key}', which is hashed.", "It is never shown: drop the serializer."
        elif spec is not None and spec.encrypted and each.on == "storage":
            yield path, f"is '{each.key}', which is encrypted.", "Let one of them write it."
        elif spec is not None and spec.unique and each.on == "storage":
            yield (
                path,
                f"is '{each.key}', which is unique.",
                "Nothing can be searched by what an export wrote.",
            )


def _about_opaque_members(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    opaque = opaque_members(model)
    for key, paths in (("indexes", model.source.indexes), ("text", model.source.text)):
        for path in paths:
            if path.partition(".")[0] in opaque:
                yield (
                    f"source.{key}",
                    f"holds '{path}', which is stored in a form that cannot be searched.",
                    "Drop it.",
                )
    for member, spec in model.properties.items():
        for key, condition in (("required", spec.required), ("frozen", spec.frozen)):
            if condition is not None and condition.field.partition(".")[0] in hashed_members(model):
                yield (
                    f"properties.{member}.{key}",
                    f"depends on '{condition.field}', which is hashed.",
                    "Nobody knows its value.",
                )


def _about_routes(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    paths = [route.path for route in model.routes]
    paths += [port.path for port in model.ports.values() if port.path]
    if not all(ROUTE_PATH.fullmatch(path) for path in paths):
        return  # refused where it stands
    try:
        routes_of("", model)
    except InvalidSpecificationError as error:
        yield "routes", f"contradict each other: {error.message}", error.hint


def _about_workflow(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    for name, port in model.ports.items():
        if port.produces.startswith(RESERVED):
            yield (
                f"ports.{name}.produces",
                f"begins with '{RESERVED}', as the host's events do.",
                "Rename it.",
            )
    circle = circle_in((model,))
    if circle:
        yield (
            "ports",
            f"lead to each other in a circle: {' -> '.join(circle)}.",
            "Let one of them consume or produce another event.",
        )


def members_named(model: ModelSpec) -> Iterator[tuple[str, str]]:
    """The members of records that the specification names, each with the path of the key that names it."""
    for member, spec in model.properties.items():
        yield f"properties.{member}", member
        for key, condition in (("required", spec.required), ("frozen", spec.frozen)):
            if condition is not None and condition.field:
                yield f"properties.{member}.{key}.field", condition.field
    for index, serializer in enumerate(model.serializers):
        yield f"serializers[{index}].key", serializer.key
    for key, paths in (("indexes", model.source.indexes), ("text", model.source.text)):
        for place, path in enumerate(paths):
            yield f"source.{key}[{place}]", path
    for name, port in model.ports.items():
        for place, member in enumerate(port.keys):
            yield f"ports.{name}.keys[{place}]", member
