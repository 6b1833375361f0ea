"""Which JSON Schemas (2020-12) a component may bring: valid, local, and cheap to check on any record.

A schema is expanded as the validator will walk it. References that lead back to themselves are refused, so the
expansion ends; its size is what checking one value can cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.json_text import write_json
from edgehost.domain.pattern_check import require_safe_pattern
from edgehost.domain.plain_schema import plainly_valid

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES: Final = 48 * 1024  # the specification around it must fit 64 KiB
MAX_SCHEMA_DEPTH: Final = 32
#: Sub-schemas after all references are followed.
MAX_EXPANDED: Final = 1000

_ONE: Final = (
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
)  # fmt: skip
_LIST: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("dependentSchemas", "patternProperties", "properties")
#: They move or multiply what a reference means, or re-check what was checked; the API document embeds schemas too.
_REFUSED: Final = frozenset({
    "$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef", "$vocabulary",
    "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip


def require_usable_schema(schema: Mapping[str, Any]) -> None:
    """Check that a component's schema can be used on this host.

    Raises:
        InvalidSpecificationError: it is invalid, too large, refers to something outside itself, leads back to
            itself, or holds a pattern that could take very long.
    """
    _require_small(schema)
    declared = schema.get("$schema", DIALECT)
    if declared not in {DIALECT, DIALECT + "#"}:
        raise _refused("#/$schema", f"is {declared!r:.80}", hint=f"Leave it out, or use {DIALECT}.")
    if "id" in _members(schema.get("properties")):
        raise _refused(
            "#/properties/id", "is reserved", hint="Every record has an id of its own; name it otherwise."
        )
    if not plainly_valid(schema, MAX_SCHEMA_DEPTH):
        _require_valid(schema)
    _Expansion(schema).walk(schema, "#", (), 0)


def _require_valid(schema: Mapping[str, Any]) -> None:
    import jsonschema  # noqa: PLC0415 - 3 MB that plain schemas do not need

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise _refused(f"#/{'/'.join(map(str, error.path))}", error.message[:200]) from None


def _require_small(schema: Mapping[str, Any]) -> None:
    try:
        size = len(write_json(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused("#", f"is no JSON: {error}") from None
    if size > MAX_SCHEMA_BYTES:
        raise _refused("#", f"has {size} bytes; {MAX_SCHEMA_BYTES} are allowed")


class _Expansion:
    """Walks the schema as the validator does, following references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._seen = 0
        self._safe_patterns: set[str] = set()

    def walk(self, schema: object, at: str, followed: tuple[str, ...], depth: int) -> None:
        self._seen += 1
        if self._seen > MAX_EXPANDED:
            raise _refused(
                at, f"brings more than {MAX_EXPANDED} sub-schemas", hint="Make the schema simpler."
            )
        if depth > MAX_SCHEMA_DEPTH:
            raise _refused(at, f"is nested more than {MAX_SCHEMA_DEPTH} levels deep")
        if not isinstance(schema, Mapping):
            return  # true or false
        self._require_plain(schema, at, depth)
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in followed:
                raise _refused(f"{at}/$ref", f"leads back to {reference}", hint="Write the levels out.")
            self.walk(self._target(reference, at), reference, (*followed, reference), depth + 1)
        for pointer, child in _children(schema):
            self.walk(child, f"{at}/{pointer}", followed, depth + 1)

    def _require_plain(self, schema: Mapping[str, Any], at: str, depth: int) -> None:
        for keyword in schema:
            if keyword in _REFUSED or (keyword == "$schema" and depth):
                raise _refused(f"{at}/{keyword}", "is not supported here", hint="Leave it out.")
        patterns = {schema["pattern"]} if "pattern" in schema else set()
        patterns |= _members(schema.get("patternProperties")).keys()
        for pattern in patterns - self._safe_patterns:
            require_safe_pattern(pattern)
        self._safe_patterns |= patterns

    def _target(self, reference: object, at: str) -> object:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise _refused(
                f"{at}/$ref",
                f"is {reference!r:.80}",
                hint="Only references within the schema, '#/$defs/...', are used.",
            )
        target: Any = self._root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
                target = target[int(name)]
            else:
                raise _refused(f"{at}/$ref", f"points to {reference[:80]}, which does not exist")
        return target


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for keyword in _ONE:
        if keyword in schema:
            yield keyword, schema[keyword]
    for keyword in _LIST:
        for index, child in enumerate(schema.get(keyword, ())):
            yield f"{keyword}/{index}", child
    for keyword in _NAMED:
        for name, child in _members(schema.get(keyword)).items():
            yield f"{keyword}/{name}", child


def _members(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _refused(at: str, what: str, *, hint: str = "") -> InvalidSpecificationError:
    error = InvalidSpecificationError(f"model.schema: {at[:120]} {what}.", hint=hint)
    error.path = "model.schema"
    return error
