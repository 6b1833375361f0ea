"""What a model declares about single properties, beside its JSON Schema (the seed's mixins).

Renamed: ``requireProperties`` is ``required``, ``freezeProperties`` is ``frozen``, ``validateProperties`` is
``pattern``, ``transitions`` and ``unique``, ``updateProperties`` is ``computed`` and ``updated``,
``hashPasswords`` is ``hashed``, ``encryptProperties`` is ``encrypted``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.names import EXPORT, FIELD_PATH, MEMBER
from edgehost.domain.pattern_check import require_safe_pattern
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import closest, did_you_mean

#: Patterns with a name; any other text is a regular expression of the safe kind.
NAMED_PATTERNS: Final = (
    "email",
    "phone",
    "ipv4",
    "ipv6",
    "credit-card",
    "uuid",
    "hostname",
    "uri",
    "date-time",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """Another field has one of these values. No field: always."""

    field: str = ""
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """The behaviour of one property."""

    required: Condition | None = None
    frozen: Condition | None = None  # cannot change (once the condition holds in what is stored)
    transitions: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # from a value to those that may follow
    unique: bool = False
    computed: str = ""  # export that gives the value when the record is created
    updated: str = ""  # export that gives the value at every update
    pattern: str = ""
    hashed: bool = False  # stored as a salted hash, compared by the host, never shown
    encrypted: bool = False  # stored under AES-256-GCM


def read_properties(table: SpecReader) -> dict[str, PropertySpec]:
    """The property behaviours of a model, by member."""
    return {each.name: _read_property(each) for each in table.tables(pattern=MEMBER)}


def _read_property(table: SpecReader) -> PropertySpec:
    spec = PropertySpec(
        required=_read_condition(table, "required"),
        frozen=_read_condition(table, "frozen"),
        transitions=table.texts_map("transitions"),
        unique=table.flag("unique", default=False),
        computed=table.text("computed", pattern=EXPORT, default=""),
        updated=table.text("updated", pattern=EXPORT, default=""),
        pattern=table.text("pattern", default="", longest=512),
        hashed=table.flag("hashed", default=False),
        encrypted=table.flag("encrypted", default=False),
    )
    table.refuse_unknown()
    _require_consistent(table, spec)
    return spec


def _read_condition(table: SpecReader, key: str) -> Condition | None:
    """``true``, ``false``, or ``{field = "...", values = [...]}``."""
    found = table.flag_or_table(key, _read_inner_condition)
    if isinstance(found, Condition):
        return found
    return Condition() if found else None


def _read_inner_condition(table: SpecReader) -> Condition:
    condition = Condition(table.text("field", pattern=FIELD_PATH), table.scalars("values"))
    table.refuse_unknown()
    return condition


def _require_consistent(table: SpecReader, spec: PropertySpec) -> None:
    """Refuse what would have no effect, or could never be fulfilled."""
    frozen = spec.frozen == Condition()
    contradictions = (
        ("encrypted", spec.encrypted and spec.hashed, "hashed", "A hash needs no key."),
        ("unique", spec.unique and spec.hashed, "hashed", "Equal values have different hashes."),
        (
            "unique",
            spec.unique and spec.encrypted,
            "encrypted",
            "Equal values look different when encrypted.",
        ),
        ("transitions", spec.transitions and spec.hashed, "hashed", "The value before is not known."),
        ("transitions", spec.transitions and frozen, "frozen", "It never changes."),
        ("updated", spec.updated and frozen, "frozen", "It never changes: use computed."),
    )
    for key, both, other, why in contradictions:
        if both:
            table.refuse(key, f"is set beside {other}.", hint=f"{why} Drop one of them.")
    if spec.pattern and spec.pattern not in NAMED_PATTERNS:
        _require_safe_expression(table, spec.pattern)
    for condition in (spec.required, spec.frozen):
        if condition is not None and condition.field and not condition.values:
            table.refuse("", "has a condition that no value fulfils.", hint="Name at least one value.")


def _require_safe_expression(table: SpecReader, pattern: str) -> None:
    try:
        require_safe_pattern(pattern)
        require_safe_pattern(f"(?:{pattern})$")  # it is tried on the value as a whole
    except InvalidSpecificationError as error:
        hint = did_you_mean(pattern, NAMED_PATTERNS) if closest(pattern, NAMED_PATTERNS) else error.hint
        table.refuse("pattern", f"cannot be used: {error.message}", hint=hint)
        return
    if re.fullmatch(r"[a-z0-9-]+", pattern):  # an expression that matches itself alone is a mistyped name
        table.refuse("pattern", f"is {pattern!r}.", hint=did_you_mean(pattern, NAMED_PATTERNS))
