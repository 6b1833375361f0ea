"""What a model declares about single properties, beside its JSON Schema (the seed's mixins).

Renamed: ``requireProperties`` is ``required``, ``freezeProperties`` is ``frozen``, ``validateProperties`` is
``pattern``, ``transitions`` and ``unique``, ``updateProperties`` is ``computed`` and ``updated``,
``hashPasswords`` is ``hashed``, ``encryptProperties`` is ``encrypted``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.names import EXPORT, FIELD_PATH, MEMBER
from edgehost.domain.spec_reader import SpecReader

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
    transitions = table.table("transitions")
    spec = PropertySpec(
        required=_read_condition(table, "required"),
        frozen=_read_condition(table, "frozen"),
        transitions={key: transitions.texts(key) for key in transitions.names()},
        unique=table.flag("unique", default=False),
        computed=table.text("computed", pattern=EXPORT, default=""),
        updated=table.text("updated", pattern=EXPORT, default=""),
        pattern=table.text("pattern", default="", longest=512),
        hashed=table.flag("hashed", default=False),
        encrypted=table.flag("encrypted", default=False),
    )
    table.refuse_unknown()
    if spec.hashed and spec.encrypted:
        raise table.refused(
            "encrypted", "is set beside hashed.", hint="A hash needs no key: drop one of them."
        )
    return spec


def _read_condition(table: SpecReader, key: str) -> Condition | None:
    """``true``, ``false``, or ``{field = "...", values = [...]}``."""
    if not table.has(key):
        return None
    if isinstance(table.anything(key), bool):
        return Condition() if table.flag(key, default=False) else None
    inner = table.table(key)
    values = inner.anything("values")
    if not isinstance(values, list | tuple) or not all(
        value is None or isinstance(value, str | int | float | bool) for value in values
    ):
        raise inner.refused("values", "must be a list of strings, numbers or true and false.")
    condition = Condition(inner.text("field", pattern=FIELD_PATH), tuple(values))
    inner.refuse_unknown()
    return condition
