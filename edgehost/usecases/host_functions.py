"""What a guest may ask of the host, each function granted by name: nothing by default.

A guest goes through the same use cases as the API: schemas, hooks and events hold for it as for anybody. Another
component's model must allow what the guest was granted: both consent, or nothing is done. An
EdgehostError that leaves here is told to the guest as ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.access_rules import Caller, require_access
from edgehost.domain.causation import current_cause
from edgehost.domain.component_spec import ComponentSpec, Grants
from edgehost.domain.errors import (
    BusyError,
    CallDepthError,
    ConflictError,
    NotFoundError,
    NotGrantedError,
    RefusedError,
    RevisionConflictError,
    TooLargeError,
    UnavailableError,
)
from edgehost.domain.event_pattern import RESERVED
from edgehost.domain.event_rate import EventRate
from edgehost.domain.events import ComponentNotified, EventsCut
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.names import EVENT
from edgehost.domain.record import Record
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_CURSOR_LENGTH
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.readings import MachineReadings
from edgehost.ports.sandbox import CallContext, HostCall
from edgehost.usecases.ask_guest import read_answer
from edgehost.usecases.calling import answering
from edgehost.usecases.create_record import create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.query_records import make_query, query_records, read_sort
from edgehost.usecases.read_conditions import read_conditions
from edgehost.usecases.record_keeping import WRITE_ATTEMPTS, RecordKeeping, record_document
from edgehost.usecases.run_command import commands_of, permissions_for, run_command
from edgehost.usecases.update_record import change_record

#: A function of another room: (component, context, request) -> value.
MoreFunction = Callable[[str, CallContext, SpecReader], Awaitable[Any]]

#: Components that call each other: the ones on the way here, the caller included.
MAX_CALL_DEPTH: Final = 8
#: A request beside the record that it carries.
_ENVELOPE_BYTES: Final = 4096
#: What a guest of common size has room for, beside its own work.
_FOUND_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class HostFunctions:
    """The functions behind ``extism:host/user``."""

    keeping: RecordKeeping
    models: LiveModels
    readings: MachineReadings
    spec_of: Callable[[str], ComponentSpec]  # of a live component; raises NotFoundError
    more: dict[str, MoreFunction] = field(default_factory=dict)  # of other rooms, by name
    rate: EventRate = field(default_factory=EventRate)  # of what components notify

    def granted(self, grants: Grants, dependencies: Mapping[str, str] | None = None) -> HostCall:
        """The functions as a component with these grants may use them; it may call others by its own names."""
        names = dependencies or {}

        async def host_call(component: str, function: str, payload: bytes, context: CallContext) -> bytes:
            with answering(context):
                return await self.answer(_Asking(component, grants, context, names), function, payload)

        return host_call

    async def answer(self, asking: _Asking, function: str, payload: bytes) -> bytes:
        """The reply to a guest's request, as JSON in ``{"ok": ...}``.

        Raises:
            NotGrantedError: the component may not do this.
            CallDepthError: too many components call each other.
            EdgehostError: what the function itself raises.
        """
        asking.require(function, asking.grants.functions, "the function")
        if len(asking.context.chain) > MAX_CALL_DEPTH:
            raise CallDepthError(
                f"{' -> '.join(asking.context.chain)}: components call each other more than {MAX_CALL_DEPTH} deep.",
                hint="Look for a circle.",
            )
        if len(payload) > self.keeping.record_bytes + _ENVELOPE_BYTES:
            raise TooLargeError(f"The request has {len(payload)} bytes.", hint="Send less at once.")
        if function not in _READING:
            asking.context.acting(f"'{function}'")
        request = read_json(payload) if payload else {}
        if not isinstance(request, dict):
            raise RefusedError("The request must be a JSON object.")
        reader = SpecReader(request, error=RefusedError)
        if function in self.more:
            answer = await self.more[function](asking.component, asking.context, reader)
        elif function in _FUNCTIONS:
            answer = await _FUNCTIONS[function](self, asking, reader)
        else:
            raise UnavailableError(f"This host has nothing behind '{function}'.")
        return b'{"ok":' + (answer if isinstance(answer, bytes) else write_json(answer)) + b"}"


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks, with what rights, on whose behalf."""

    component: str
    grants: Grants
    context: CallContext
    dependencies: Mapping[str, str] = field(default_factory=dict)  # its own names for other components

    def require(self, name: str, granted: tuple[str, ...], what: str) -> None:
        if name not in granted:
            raise NotGrantedError(
                f"'{self.component}' was not granted {what} '{name[:80]}'.",
                hint="Name it under [grants] in its component.toml.",
            )

    def model(self, functions: HostFunctions, request: SpecReader, *permissions: str) -> LiveModel:
        """The model that is asked for: the component was granted it, and it lets the component do this."""
        name = request.text("model")
        self.require(name, self.grants.models, "the model")
        model = functions.models.table.named(name)
        self.require_access(model, *permissions)
        return model

    def require_access(self, model: LiveModel, *permissions: str) -> None:
        require_access(model.spec, model.component, Caller(self.component), permissions)


#: Answers with a value, or with JSON.
_Function = Callable[[HostFunctions, _Asking, SpecReader], Awaitable[Any]]


async def _readings(functions: HostFunctions, _asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    request.refuse_unknown()
    return await functions.readings.read()


async def _now(functions: HostFunctions, _asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    request.refuse_unknown()
    return {"unix_s": functions.keeping.clock.now()}


async def _get(functions: HostFunctions, asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    model, record_id = asking.model(functions, request, "read"), request.text("id")
    request.refuse_unknown()
    return record_document(await functions.keeping.require(model, record_id))


async def _find(functions: HostFunctions, asking: _Asking, request: SpecReader) -> bytes:
    model = asking.model(functions, request, "read")
    query = make_query(
        model,
        read_conditions(model, request.document("filters")),
        limit=request.whole("limit", least=1, most=1000, default=DEFAULT_PAGE),
        cursor=request.text("cursor", default="", longest=MAX_CURSOR_LENGTH),
        descending=request.flag("descending", default=False),
        sort=read_sort(request.text("sort", default="", longest=1024)),
        fields=request.texts("fields"),
    )
    request.refuse_unknown()
    return (await query_records(functions.keeping, query, most_bytes=_FOUND_BYTES)).to_json()


async def _delete(functions: HostFunctions, asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    model, record_id = asking.model(functions, request, "delete"), request.text("id")
    expected = [request.text("revision")] if request.has("revision") else None
    request.refuse_unknown()
    try:
        await delete_record(functions.keeping, model, record_id, expected=expected, context=asking.context)
    except NotFoundError:
        return {"deleted": False}
    return {"deleted": True}


async def _save(functions: HostFunctions, asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    model = asking.model(functions, request)
    record_id = request.text("id", default="")
    revision = request.text("revision") if request.has("revision") else None
    if not request.has("data"):
        raise request.refused("data", "is missing.")
    data = request.document("data")
    request.refuse_unknown()
    record = await _saved(functions.keeping, asking, model, record_id, data, revision=revision)
    return record_document(record)


async def _saved(
    keeping: RecordKeeping,
    asking: _Asking,
    model: LiveModel,
    record_id: str,
    data: Mapping[str, Any],
    *,
    revision: str | None,
) -> Record:
    context = asking.context
    asking.require_access(model, "update" if revision or (record_id and revision is None) else "create")
    if revision:
        try:
            return await change_record(
                keeping, model, record_id, lambda _: data, expected=[revision], context=context
            )
        except NotFoundError as error:
            raise RevisionConflictError(error.message, hint=error.hint) from None
    for _ in range(WRITE_ATTEMPTS):
        try:
            if record_id and revision is None:
                return await change_record(keeping, model, record_id, lambda _: data, context=context)
        except NotFoundError:
            asking.require_access(model, "create")  # so it is created
        try:
            return (await create_record(keeping, model, data, record_id=record_id, context=context)).record
        except ConflictError as error:
            if revision == "":
                raise RevisionConflictError(error.message, hint=error.hint) from None
    raise ConflictError(f"The record '{record_id}' comes and goes too fast.", hint="Try again later.")


async def _call(functions: HostFunctions, asking: _Asking, request: SpecReader) -> object:
    name, function = request.text("component"), request.text("function")
    component = asking.dependencies.get(name, name)
    asking.require(component, asking.grants.components, "the component")
    spec = functions.spec_of(component)
    model = None if spec.model is None else functions.models.table.named(spec.model.name)
    if model is not None:
        asking.require_access(model, *permissions_for(model.spec, function))
    if model is not None and function in commands_of(model.spec):
        wanted = request.table("input")
        record_id, args = wanted.text("id"), wanted.anything("args")
        wanted.refuse_unknown()
        request.refuse_unknown()
        outcome = await run_command(
            functions.keeping,
            model,
            record_id,
            function,
            args,
            context=asking.context,
        )
        changed = {} if outcome.changed is None else {"record": record_document(outcome.changed)}
        return {"result": outcome.result} | changed
    if function not in spec.exports_used():
        raise NotFoundError(
            f"'{component}' names no export '{function[:80]}'.",
            hint=did_you_mean(function[:80], spec.exports_used()),
        )
    payload = write_json(request.anything("input")) if request.has("input") else b""
    request.refuse_unknown()
    output = await functions.keeping.components.call(component, function, payload, context=asking.context)
    return read_answer(functions.keeping, component, function, output)


async def _notify(functions: HostFunctions, asking: _Asking, request: SpecReader) -> Mapping[str, Any]:
    name, data = request.text("type", pattern=EVENT), request.anything("data")
    request.refuse_unknown()
    if name.startswith(RESERVED):
        raise RefusedError(f"'{name[:80]}' is a name of the host's own events.", hint="Choose another one.")
    _require_rate(functions, asking.component, name)
    await functions.keeping.bus.room(wait=False)
    functions.keeping.bus.publish(
        ComponentNotified(at=functions.keeping.clock.now(), component=asking.component, name=name, data=data)
    )
    return {}


def _require_rate(functions: HostFunctions, component: str, name: str) -> None:
    clock, rate = functions.keeping.clock, functions.rate
    if rate.admits(component, clock.monotonic()):
        return
    count = rate.to_tell(component, clock.monotonic())
    if count:
        depth = current_cause().depth
        functions.keeping.bus.publish(
            EventsCut(at=clock.now(), name=name, about=component, reason="rate", depth=depth, count=count)
        )
    raise BusyError(
        f"'{component}' publishes more than {rate.per_s:.0f} events a second.", hint="Publish fewer."
    )


#: Functions that leave the world as it is: all that a shadow call may use. "related" says itself when it creates.
_READING: Final = frozenset({"readings", "get", "find", "now", "related"})

_FUNCTIONS: Final[Mapping[str, _Function]] = {
    "readings": _readings,
    "save": _save,
    "get": _get,
    "find": _find,
    "delete": _delete,
    "call": _call,
    "notify": _notify,
    "now": _now,
}
