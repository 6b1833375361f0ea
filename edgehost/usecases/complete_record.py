"""What becomes of a request before it is stored: the model's guest and its declared properties have their say.

The order: the factory makes the data (create), exports give computed and updated members, the schema and the
properties are checked, the hooks complete or refuse, all is checked again, and last what is hashed is hashed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError, UnavailableError
from edgehost.domain.json_text import same_json
from edgehost.domain.merge_patch import changes_between
from edgehost.domain.model_consistency import hashed_members
from edgehost.domain.property_rules import Before, Wanted, require_rules
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask, require_fitting, to_blame
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: Hashing takes a text in one piece; nobody's password is longer.
MOST_HASHED_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """What is to be stored: what is shown, and what nobody is shown."""

    data: Mapping[str, Any]
    withheld: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def same_as(self, before: Record) -> bool:
        """Whether storing it would change nothing."""
        return same_json(self.data, before.data) and dict(self.withheld) == dict(before.withheld)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One request on its way through the model."""

    keeping: RecordKeeping
    model: LiveModel
    record_id: str
    previous: Record | None
    dropped: frozenset[str]  # withheld members that the caller removes by name
    context: CallContext

    @property
    def event(self) -> str:
        return "create" if self.previous is None else "update"

    def kept(self, data: Mapping[str, Any]) -> frozenset[str]:
        """Members that stay as they are because nobody is shown them and this data says nothing of them."""
        stored = self.previous.withheld.keys() if self.previous is not None else frozenset[str]()
        return frozenset(set(stored) - data.keys() - self.dropped)

    def question(self, data: Mapping[str, Any]) -> dict[str, Any]:
        question: dict[str, Any] = {"event": self.event, "id": self.record_id, "data": data}
        if self.previous is not None:
            question |= {
                "previous": self.previous.data,
                "changes": changes_between(self.previous.data, data),
            }
        return question

    def require_rules(self, data: Mapping[str, Any]) -> None:
        before = None if self.previous is None else Before(self.previous.data, self.previous.withheld.keys())
        require_rules(self.model.spec.properties, Wanted(data, self.kept(data)), before)


async def completed(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    data: Mapping[str, Any],
    *,
    previous: Record | None,
    dropped: Collection[str] = (),
    context: CallContext,
) -> Completed:
    """The data as it is to be stored.

    Raises:
        InvalidRecordError: the data does not fit the schema, or breaks a property.
        GuestFailedError: a hook refuses it.
        GuestError: a hook failed, or answered with data that does not fit.
        UnavailableError: a member is to be hashed and this host cannot.
    """
    asking = _Asking(keeping, model, record_id, previous, frozenset(dropped), context)
    spec = model.spec
    if previous is None and spec.factory:
        answer = await ask(
            keeping, model, spec.factory, asking.question(_object(data)), context=context, members={"data"}
        )
        data = answer.get("data", data)
    data = await _with_exports(asking, _object(data))
    data = await _without_same_hashes(asking, data)
    model.schema.without(asking.kept(data)).require_valid(data)
    asking.require_rules(data)
    for hook in [spec.validate] if previous is None else [spec.validate, spec.on_update]:
        if not hook:
            continue
        answer = await ask(keeping, model, hook, asking.question(data), context=context, members={"data"})
        if "data" in answer:
            data = await _from_guest(asking, hook, answer["data"])
    return await _hashed(asking, data)


async def settled(
    keeping: RecordKeeping,
    model: LiveModel,
    previous: Record,
    export: str,
    data: Any,  # noqa: ANN401 - JSON
    *,
    context: CallContext,
) -> Completed:
    """Data that an export of the model gave for a stored record, as it is to be stored; no hook is asked again.

    Raises:
        GuestProtocolError: it does not fit the schema, or breaks a property.
    """
    asking = _Asking(keeping, model, previous.id, previous, frozenset(), context)
    with to_blame(keeping, model, export):
        data = _object(data)
    if not same_json(data, previous.data):
        data = await _with_exports(asking, data)
    return await _hashed(asking, await _from_guest(asking, export, data))


async def _from_guest(asking: _Asking, export: str, data: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    with to_blame(asking.keeping, asking.model, export):
        data = await _without_same_hashes(asking, _object(data))
        asking.require_rules(data)
    return require_fitting(asking.keeping, asking.model, export, data, without=asking.kept(data))


async def _with_exports(asking: _Asking, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data with the members that exports give; an export that says nothing leaves its member as it is."""
    changed = asking.previous is None or not same_json(data, asking.previous.data)
    for member, spec in asking.model.spec.properties.items():
        export = spec.computed if asking.previous is None else spec.updated if changed else ""
        if not export:
            continue
        question = {"member": member, **asking.question(data)}
        answer = await ask(
            asking.keeping, asking.model, export, question, context=asking.context, members={"value"}
        )
        if "value" in answer:
            data = {**data, member: answer["value"]}
    return data


async def _without_same_hashes(asking: _Asking, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data without values that are the ones already stored: setting the same password again is no change."""
    if asking.previous is None:
        return data
    hasher = asking.keeping.hasher
    for member in hashed_members(asking.model.spec) & data.keys() & asking.previous.withheld.keys():
        given, stored = data[member], asking.previous.withheld[member]
        if hasher is not None and _hashable(given) and await hasher.fits(given, stored):
            data = {name: value for name, value in data.items() if name != member}
    return data


async def _hashed(asking: _Asking, data: Mapping[str, Any]) -> Completed:
    kept = asking.kept(data)
    stored = asking.previous.withheld if asking.previous is not None else {}
    withheld = {member: stored[member] for member in stored if member in kept}
    members = hashed_members(asking.model.spec)
    if not members:
        return Completed(data, withheld)
    hasher = asking.keeping.hasher
    shown = dict(data)
    # A value from before the model asked for hashes is hashed with the next write, whoever writes.
    unhashed = {m: v for m, v in withheld.items() if m in members and hasher and not hasher.is_hash(v)}
    for member in sorted(members & (shown.keys() | unhashed.keys())):
        clear = shown.pop(member) if member in shown else unhashed[member]
        if clear is None:
            withheld.pop(member, None)
            continue
        if not _hashable(clear):
            raise InvalidRecordError(
                f"'{member}' is stored hashed: it must be a text of at most {MOST_HASHED_CHARACTERS} characters.",
                problems=((f"/{member}", "must be a text"),),
            )
        if hasher is None:
            raise UnavailableError(f"'{member}' is to be hashed and this host cannot.")
        withheld[member] = await hasher.hashed(clear)
    return Completed(shown, withheld)


def _hashable(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_HASHED_CHARACTERS


def _object(data: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    if not isinstance(data, Mapping):
        raise InvalidRecordError(
            "A record's data must be a JSON object.", hint='Send an object: {"name": value}.'
        )
    return data
