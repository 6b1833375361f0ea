"""What calling a port needs of the host: bindings, services, components, breakers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import SystemRandom
from typing import Any

from edgehost.domain.binding import DIRECT, Binding
from edgehost.domain.call_policy import before, told_error
from edgehost.domain.component_spec import ComponentSpec, Kind
from edgehost.domain.errors import (
    EdgehostError,
    GuestProtocolError,
    NotFoundError,
    NotGrantedError,
    PortUnboundError,
    UnavailableError,
)
from edgehost.domain.json_text import write_json
from edgehost.domain.port_spec import PortSpec
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.component_directory import ComponentDirectory
from edgehost.ports.sandbox import Bound, CallContext
from edgehost.ports.service import Service
from edgehost.usecases.ask_guest import read_answer
from edgehost.usecases.bind_port import Bindings
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.port_breakers import PortBreakers
from edgehost.usecases.record_keeping import RecordKeeping

log = logging.getLogger("edgehost.ports")

_EVERYBODY = "*"
#: A port ends its own call at its time-out; a service is ended only if that did not happen.
_SLACK_S = 0.25


@dataclass(frozen=True, slots=True)
class HostService:
    """A service of this host, and who may be bound to it: adapters, or models for the built-in adapter."""

    service: Service
    kind: str
    allow: tuple[str, ...] = (_EVERYBODY,)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one call of a port goes."""

    adapter: Binding
    service: Binding


@dataclass(slots=True)
class PortRooms:
    """What every verb on ports needs of the host."""

    keeping: RecordKeeping
    models: LiveModels
    directory: ComponentDirectory
    bindings: Bindings
    breakers: PortBreakers
    services: Mapping[str, HostService] = field(default_factory=dict)
    chance: Callable[[], float] = field(default_factory=lambda: SystemRandom().random)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    def route(self, model: LiveModel, port: str, spec: PortSpec) -> Route:
        """Where a call that begins now goes."""
        table, name = self.bindings.table, model.spec.name
        own = self.directory.find(port)
        adapter = table.adapter_of(
            name, port, spec, has_own=own is not None and own.spec.kind is Kind.ADAPTER
        )
        found = self.directory.find(adapter.target)
        declared = "" if found is None or found.spec.adapter is None else found.spec.adapter.service
        service = table.service_of(adapter.target, declared, port=(f"{name}.{port}", spec))
        return Route(adapter, service)

    def service_of(self, adapter: ComponentSpec) -> str:
        """The service of an adapter that is called by itself, not for a port."""
        declared = adapter.adapter.service if adapter.adapter is not None else ""
        return self.bindings.table.service_of(adapter.name, declared).target

    async def carry(
        self, route: Route, document: Mapping[str, Any], *, context: CallContext, until: float
    ) -> Any:  # noqa: ANN401 - JSON
        """One try: through the adapter to the service and back."""
        name, model, port = route.adapter.target, document["model"], document["port"]
        if name == DIRECT:
            return await self.ask_service(
                route.service.target,
                port,
                document["args"] if document["args"] is not None else document.get("record"),
                user=model,
                context=context,
                until=until,
                lenient=True,
            )
        found = self.directory.find(name)
        if found is None or found.spec.adapter is None:
            what = "is no adapter" if found is not None else "does not run here"
            raise PortUnboundError(
                f"{model}.{port} is bound to '{name}', which {what}.",
                hint="Deploy the adapter, or bind another one with 'edgehost bind'.",
            )
        bound = Bound(name, route.service.target, until)
        export = found.spec.adapter.export
        output = await found.call(export, write_json(document), context=_bound(context, bound))
        return self._unwrapped(name, export, output)

    async def ask_service(
        self,
        name: str,
        function: str,
        given: Any,  # noqa: ANN401 - JSON
        *,
        user: str,
        context: CallContext,
        until: float,
        lenient: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON
        """What a service answers; ``lenient`` calls its first function when it has none of this name.

        Raises:
            PortUnboundError: there is no such service.
            NotGrantedError: the host lets others use it, not this one.
            NotFoundError: it has no such function.
            EdgehostError: what the service itself raises.
        """
        if not name:
            raise PortUnboundError(
                f"'{user}' is bound to no service.", hint=f"Bind one: 'edgehost bind {user} SERVICE'."
            )
        if (hosted := self.services.get(name)) is not None:
            until = min(until + _SLACK_S, before(context.deadline, _now()))
            return await self._ask_hosted(
                name, hosted, function, given, user=user, until=until, lenient=lenient
            )
        found = self.directory.find(name)
        if found is None or found.spec.service is None:
            raise PortUnboundError(
                f"'{user}' is bound to the service '{name}', which is not here.",
                hint=did_you_mean(name, [*self.services, *self._service_names()])
                or f"Deploy it, or configure [services.{name}].",
            )
        known = tuple(filter(None, (*found.spec.service.functions, found.spec.service.export)))
        chosen = _chosen(name, function, known, lenient=lenient)
        inner = replace(_bound(context, None), deadline=before(context.deadline, _now()))
        output = await found.call(chosen, write_json(given), context=inner)
        return self._unwrapped(name, chosen, output)

    async def _ask_hosted(
        self,
        name: str,
        hosted: HostService,
        function: str,
        given: Any,  # noqa: ANN401 - JSON
        *,
        user: str,
        until: float,
        lenient: bool,
    ) -> Any:  # noqa: ANN401 - JSON
        if not {user, _EVERYBODY} & set(hosted.allow):
            raise NotGrantedError(
                f"'{user}' may not use the service '{name}'.",
                hint=f"Name it in allow of [services.{name}] in the host's configuration.",
            )
        chosen = _chosen(name, function, tuple(hosted.service.functions), lenient=lenient)
        timeout_s = max(0.0, until - _now())
        try:
            async with asyncio.timeout(timeout_s):  # a plug-in may not look at it
                return await hosted.service.call(chosen, given, timeout_s=timeout_s)
        except EdgehostError:
            raise
        except TimeoutError:
            raise UnavailableError(f"The service '{name}' did not answer in time.") from None
        except Exception as fault:  # a plug-in's fault must not look like ours
            log.exception("The service '%s' failed at '%s'.", name, chosen)
            raise UnavailableError(
                f"The service '{name}' failed: {type(fault).__name__}.",
                hint="The host's log has the details.",
            ) from None

    def _unwrapped(self, component: str, export: str, output: bytes) -> Any:  # noqa: ANN401 - JSON
        """What an adapter or a Wasm service answered; ``{"ok"}`` and ``{"error"}`` are taken out of their wrapping."""
        answer = read_answer(self.keeping, component, export, output)
        if not isinstance(answer, dict) or len(answer) != 1:
            return answer
        if "ok" in answer:
            return answer["ok"]
        if "error" not in answer:
            return answer
        error = answer["error"]
        if not isinstance(error, dict) or not all(isinstance(part, str) for part in error.values()):
            self.directory.blame(component)
            raise GuestProtocolError(
                f"'{export}' of '{component}' answered with an error that has no code and message.",
                hint='Answer {"error": {"code": "...", "message": "..."}}.',
            )
        said = str(error.get("message") or "It failed.")
        raise told_error(str(error.get("code") or ""), f"{component}: {said}"[:2000])

    def _service_names(self) -> list[str]:
        found = (self.directory.find(name) for name in self.directory.names())
        return [each.spec.name for each in found if each is not None and each.spec.service is not None]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _bound(context: CallContext, bound: Bound | None) -> CallContext:
    return replace(context, bound=bound)


def _chosen(service: str, function: str, known: tuple[str, ...], *, lenient: bool) -> str:
    for name in (function, function.replace("-", "_")):
        if name in known:
            return name
    if lenient and known:
        return known[0]
    raise NotFoundError(
        f"The service '{service}' has no function '{function[:80]}'.",
        hint=did_you_mean(function[:80], known) or f"Known: {', '.join(known) or 'none'}.",
    )
