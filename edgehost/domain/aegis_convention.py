"""The convention of AEGIS's AssemblyScript modules: key/value pairs of strings in, pairs of strings out.

A guest of ``abi = "aegis"`` knows no JSON. What the host asks in JSON becomes pairs here, and the pairs that it
answers become what the host expects; no other file knows both sides.

Only strings, numbers and booleans are sent: objects, lists and null do not survive, as in AEGIS itself. An empty
string is sent as ``_``. On the way back a pair is a string, unless the model's schema says number, integer or
boolean, or it is a pair that was sent and comes back as it was (15 as 15.0, too): then it is what it was before.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

EMPTY: Final = "_"

FACTORY: Final = "modelFactory"
VALIDATE: Final = "validate"
ON_UPDATE: Final = "onUpdate"
ON_DELETE: Final = "onDelete"

#: What every module exports: the memory, and the runtime of AssemblyScript (``--exportRuntime``).
RUNTIME_FUNCTIONS: Final = ("__new", "__pin", "__unpin", "__collect")
RUNTIME_GLOBAL: Final = "__rtti_base"
#: What a model exports on top.
MODEL_GETTERS: Final = ("getModelName", "getEndpoint", "getDomain", "getPorts", "getCommands")

#: A pair as the guest answered it; null is a value that it left out.
Pair = tuple[str, str | None]

_SCALARS: Final = ("number", "integer", "boolean")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")
#: From here on AssemblyScript and JavaScript write a number with an exponent.
_LONGEST_PLAIN: Final = 21
_SMALLEST_PLAIN: Final = -6


class Role(enum.Enum):
    """What the host asks for, and so what an answer stands for."""

    PLAIN = "plain"  # the pairs as an object
    FACTORY = "factory"  # the data of a new record
    VERDICT = "verdict"  # yes, or why not
    CHANGES = "changes"  # members that an update sets
    RECORD = "record"  # a result; what it says of the record's members is stored
    RESULT = "result"  # a result about no record


@dataclass(frozen=True, slots=True)
class Question:
    """A question as pairs, and what is needed to read the answer."""

    pairs: tuple[tuple[str, str], ...]
    role: Role
    sent: Mapping[str, Any] = field(default_factory=dict)  # what the pairs were before
    told: tuple[str, ...] = ()  # pairs that are about the record, not of it
    data: Mapping[str, Any] = field(default_factory=dict)  # the record's


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer for the host, or the reason for which the guest refuses."""

    document: Any = None
    refusal: str = ""


def as_question(function: str, document: Mapping[str, Any]) -> Question:
    """What an export is asked, as it understands it.

    The host's own questions are recognised by their members: hooks by ``event``, commands and ports by ``record``,
    ``port`` and ``args``, handlers by the event's document. Anything else is an object of the caller's.
    """
    event = document.get("event")
    if event in ("create", "update", "delete") and isinstance(document.get("data"), Mapping):
        return _hook_question(function, document)
    if isinstance(event, Mapping):
        details = event.get("data")
        return _question(
            Role.PLAIN, _scalars(event), _scalars(details) if isinstance(details, Mapping) else {}
        )
    if "args" in document and ("record" in document or "port" in document):
        return _record_question(document)
    return _question(Role.PLAIN, _scalars(document))


def as_answer(
    question: Question, said: tuple[Pair, ...] | list[str | None] | str | None, types: Mapping[str, str]
) -> Answer:
    """What the guest's pairs say; the last of several pairs with one key holds.

    A string, a list of strings or null stands for itself. ``types`` are those of ``member_types``.
    """
    if not isinstance(said, tuple):
        is_result = question.role in {Role.RECORD, Role.RESULT}
        return Answer({"result": said} if is_result and said is not None else said)
    return _paired(question, said, types)


def _paired(question: Question, pairs: Iterable[Pair], types: Mapping[str, str]) -> Answer:
    given = {key: _value(key, text, question.sent, types) for key, text in pairs}
    given = {key: value for key, value in given.items() if not _is_echo(key, value, question)}
    document: dict[str, Any] = given
    match question.role:
        case Role.VERDICT:
            return _verdict(given, question.sent)
        case Role.FACTORY:
            document = {"data": given}
        case Role.CHANGES:
            document = {} if _says_ok(given) else {"data": {**question.data, **given}}
        case Role.RECORD:
            document = {"result": given, **_changed(question.data, given)}
        case Role.RESULT:
            document = {"result": given}
        case Role.PLAIN:
            pass
    return Answer(document)


def member_types(schema: Mapping[str, Any]) -> dict[str, str]:
    """The members that a schema holds to be numbers or booleans."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    kinds = {name: _kinds(rule) for name, rule in properties.items()}
    return {name: found[0] for name, found in kinds.items() if found and "string" not in found}


def text_of(value: str | float) -> str:
    """A scalar as JavaScript's toString writes it; whole numbers keep all their digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or EMPTY
    return str(value) if isinstance(value, int) else _float_text(value)


def _kinds(rule: object) -> list[str]:
    declared = rule.get("type") if isinstance(rule, Mapping) else None
    listed = declared if isinstance(declared, list) else [declared]
    return [kind for kind in (*_SCALARS, "string") if kind in listed]


def _hook_question(function: str, document: Mapping[str, Any]) -> Question:
    data: Mapping[str, Any] = document["data"]
    members = _scalars(data)
    if function == FACTORY:
        return _question(Role.FACTORY, members, data=data)
    role = {VALIDATE: Role.VERDICT, ON_DELETE: Role.VERDICT, ON_UPDATE: Role.CHANGES}.get(
        function, Role.PLAIN
    )
    return _question(role, members, told={"modelId": document.get("id")}, data=data)


def _record_question(document: Mapping[str, Any]) -> Question:
    record = document.get("record")
    data = record.get("data") if isinstance(record, Mapping) else None
    data = data if isinstance(data, Mapping) else {}
    model = record.get("model") if isinstance(record, Mapping) else document.get("model")
    told = {"modelId": document.get("id"), "modelName": model}
    told |= {key: document.get(key) for key in ("port", "token")}
    role = Role.RESULT if record is None else Role.RECORD
    if "model" in document:  # an adapter is asked: its answer goes to the port as it is
        role = Role.PLAIN
    answer, args = (_members_of(key, document.get(key)) for key in ("answer", "args"))
    return _question(role, _scalars(data), answer, args, told=told, data=data)


def _question(
    role: Role,
    *members: Mapping[str, Any],
    told: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Question:
    told = _scalars({key: value for key, value in (told or {}).items() if value != ""})
    sent = {key: value for each in (*members, told) for key, value in each.items()}
    pairs = tuple((key, text_of(value)) for key, value in sent.items())
    return Question(pairs, role, sent, tuple(told), data or {})


def _members_of(name: str, value: object) -> Mapping[str, Any]:
    return _scalars(value) if isinstance(value, Mapping) else _scalars({name: value})


def _scalars(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if isinstance(value, str | int | float)}


def _value(key: str, text: str | None, sent: Mapping[str, Any], types: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    if text is None:
        return None
    typed = _typed(text, types.get(key, ""))
    if typed is not None:
        return typed
    return sent[key] if key in sent and _is_same(sent[key], text) else text


def _is_same(sent: str | float, text: str) -> bool:
    """AssemblyScript writes 15 as 15.0: the number came back all the same."""
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        return text_of(sent) == text
    return text_of(sent) == text or _typed(text, "number") == sent


def _typed(text: str, kind: str) -> float | None:
    """The number or boolean in a text; None when there is none, and the schema decides."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    if kind not in _SCALARS or not _NUMBER.fullmatch(text):
        return None
    try:
        number = float(text)
        whole = int(Decimal(text)) if math.isfinite(number) and number.is_integer() else None
    except (ArithmeticError, ValueError):
        return None
    if whole is not None and (kind == "integer" or "." not in text):
        return whole
    return number if math.isfinite(number) and kind == "number" else None


def _changed(data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in given.items() if key in data and value != data[key]}
    return {"data": {**data, **changed}} if changed else {}


def _is_echo(key: str, value: object, question: Question) -> bool:
    return key in question.told and value == question.sent[key]


def _says_ok(given: Mapping[str, Any]) -> bool:
    return list(given) == ["status"] and str(given["status"]).lower() == "ok"


def _verdict(given: Mapping[str, Any], sent: Mapping[str, Any]) -> Answer:
    """No ``status``, or "ok", lets it pass; a status that is the record's own and came back says nothing."""
    status = given.get("status")
    if status is None or str(status).lower() == "ok" or ("status" in sent and status == sent["status"]):
        return Answer({})
    reason = given.get("message") or status
    return Answer(refusal=str(reason))


def _float_text(value: float) -> str:
    """ECMA-262, Number::toString."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    if len(text) <= point <= _LONGEST_PLAIN:
        shown = text.ljust(point, "0")
    elif 0 < point <= _LONGEST_PLAIN:
        shown = f"{text[:point]}.{text[point:]}"
    elif _SMALLEST_PLAIN < point <= 0:
        shown = f"0.{'0' * -point}{text}"
    else:
        power = f"e{point - 1:+d}"
        shown = f"{text[0]}{'.' + text[1:] if len(text) > 1 else ''}{power}"
    return f"-{shown}" if sign else shown
