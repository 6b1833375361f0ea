"""A model's specification as an AEGIS module tells it by its own getters.

Names become this host's: ``runFibonacci`` is served as ``run-fibonacci``, the event ``orderShipped`` is
``order-shipped``. What the getters name but the module does not export is left out, as AEGIS leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.aegis_convention import FACTORY, ON_DELETE, ON_UPDATE, VALIDATE
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.names import EVENT, NAME

#: The fields of a port's row, in the order of the convention.
_ROW: Final = ("service", "type", "consumesEvent", "producesEvent", "callback", "undo", "inbound")
_HOOKS: Final = {"factory": FACTORY, "validate": VALIDATE, "on_update": ON_UPDATE, "on_delete": ON_DELETE}
_DIRECTIONS: Final = ("inbound", "outbound")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_LONGEST_DESCRIPTION: Final = 500


@dataclass(slots=True)
class DerivedModel:
    """The ``[model]`` table, and what was left out of it."""

    table: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def host_name(name: str) -> str:
    """A name of the module's as this host writes it."""
    return _OTHER.sub("-", _HUMP.sub("-", name).lower()).strip("-")


def derived_model(
    said: Mapping[str, Any], given: Mapping[str, Any], functions: Collection[str]
) -> DerivedModel:
    """The model that the getters' answers describe; what ``given``, the author's own table, says goes first.

    Raises:
        InvalidComponentError: the answers are none of the convention, or two names become one.
    """
    derived = DerivedModel()
    table = derived.table
    for key, getter in (("name", "getModelName"), ("endpoint", "getEndpoint"), ("domain", "getDomain")):
        if getter in said and key not in given:
            table[key] = _name(getter, said[getter])
    if table.get("domain") == (table.get("name") or given.get("name")):
        table.pop("domain", None)
    table |= {key: export for key, export in _HOOKS.items() if export in functions}
    commands = {
        name: {"export": export, "description": str(text or "")[:_LONGEST_DESCRIPTION]}
        for name, export, text in _rows("getCommands", said)
        if _kept(derived, export in functions, f"the command '{export}' is not exported")
    }
    ports = {name: _port(derived, name, row, functions) for name, _, row in _port_rows(said)}
    ports = {name: port for name, port in ports.items() if port}
    for name, port in ports.items():
        _name_undo(derived, name, port, ports, functions)
    for key, found in (("commands", commands), ("ports", ports)):
        own = given.get(key, {})
        if isinstance(own, Mapping) and (own or found):
            table[key] = {**found, **{name: _overlaid(found.get(name), own[name]) for name in own}}
    table.update(
        {key: value for key, value in given.items() if key not in table or key not in {"commands", "ports"}}
    )
    return derived


def _overlaid(found: Mapping[str, Any] | None, own: Any) -> Any:  # noqa: ANN401 - a document holds anything
    return {**(found or {}), **own} if isinstance(own, Mapping) else own


def _name(getter: str, text: object) -> str:
    name = host_name(text) if isinstance(text, str) else ""
    if not NAME.fullmatch(name):
        raise InvalidComponentError(
            f"{getter} answered {str(text)[:80]!r}, which gives no name.",
            hint="Set the name in the [model] table of component.toml.",
        )
    return name


def _rows(getter: str, said: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    rows = said.get(getter, {})
    if not isinstance(rows, Mapping):
        raise InvalidComponentError(
            f"{getter} answered no pairs.", hint='It returns string[][], such as [["name", "what it does"]].'
        )
    named = [(_name(getter, key), key, text) for key, text in rows.items()]
    if len({name for name, _, _ in named}) < len(named):
        raise InvalidComponentError(
            f"Two names of {getter} become one on a host.", hint="Names differ by more than upper case."
        )
    return named


def _port_rows(said: Mapping[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for name, key, text in _rows("getPorts", said):
        fields = [each.strip() for each in str(text or "").split(",")]
        row = dict(zip(_ROW, [*fields, *[""] * len(_ROW)], strict=False))
        if row["type"] not in _DIRECTIONS or len(fields) > len(_ROW):
            raise InvalidComponentError(
                f"The port '{key[:80]}' is described by {str(text)[:120]!r}.",
                hint=f"Write {','.join(_ROW)}; type is inbound or outbound.",
            )
        found.append((name, key, {**row, "name": key}))
    return found


def _port(
    derived: DerivedModel, name: str, row: Mapping[str, str], functions: Collection[str]
) -> dict[str, Any]:
    port: dict[str, Any] = {"direction": row["type"]}
    if row["type"] == "inbound":
        candidates = (row["inbound"], row["name"], row["callback"])
        export = next((each for each in candidates if each in functions), "")
        if not _kept(derived, bool(export), f"the inbound port '{row['name']}' has no export"):
            return {}
        port["export"] = export
    elif row["service"]:
        port["service"] = _name(f"getPorts of '{row['name']}'", row["service"])
    callback = row["callback"]
    wanted = callback not in {"", port.get("export")}
    if wanted and _kept(
        derived, callback in functions, f"the callback '{callback}' of '{name}' is not exported"
    ):
        port["callback"] = callback
    for key, event in (("consumes", row["consumesEvent"]), ("produces", row["producesEvent"])):
        if event:
            port[key] = _event(name, event)
    if row["undo"]:
        port["undo"] = row["undo"]
    return port


def _event(port: str, text: str) -> str:
    event = ".".join(host_name(step) for step in text.split("."))
    if not EVENT.fullmatch(event):
        raise InvalidComponentError(
            f"The event {text[:80]!r} of the port '{port}' gives no name.", hint="Use letters and digits."
        )
    return event


def _name_undo(
    derived: DerivedModel,
    name: str,
    port: dict[str, Any],
    ports: Collection[str],
    functions: Collection[str],
) -> None:
    undo = port.get("undo", "")
    if not undo or undo in functions:
        return
    if host_name(undo) in ports:
        port["undo"] = host_name(undo)
    else:
        derived.notes.append(f"the undo '{undo}' of '{name}' is neither exported nor a port: left out")
        del port["undo"]


def _kept(derived: DerivedModel, there: bool, otherwise: str) -> bool:  # noqa: FBT001 - a condition
    if not there:
        derived.notes.append(f"{otherwise}: left out")
    return there
