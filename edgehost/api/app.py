"""The ASGI application of a host.

Dispatch is a look-up in a dict and the rest is Starlette's requests and responses: a router of patterns would
have to be rebuilt whenever a release goes live, and costs more than most answers here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from edgehost.api.access import AccessPolicy
from edgehost.api.api_document import ApiDocument
from edgehost.api.event_stream import EventStreams
from edgehost.api.host_routes import HostRoutes
from edgehost.api.model_routes import ModelRoutes
from edgehost.api.own_routes import OwnRoutes
from edgehost.api.permissions import CALLER, may_hear
from edgehost.api.port_routes import PortRoutes
from edgehost.api.problems import UpgradeRequiredError, problem_response, reported
from edgehost.api.reading import require_few_headers
from edgehost.api.rooms import ApiRooms
from edgehost.api.thing_routes import ThingRoutes
from edgehost.api.web_socket import WebSockets, with_offered_token
from edgehost.domain.errors import EdgehostError, NotFoundError
from edgehost.ports.host_control import HostControl
from edgehost.usecases.follow_relation import Relations
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import RecordKeeping

if TYPE_CHECKING:
    from edgehost.api.aegis_routes import AegisRoutes

_Answer = Callable[[Request, tuple[str, ...]], Awaitable[ASGIApp]]

#: The first step below the root behind which the host itself is shown and changed.
_CONTROL: Final = "host"
_SOCKET: Final = "ws"
#: Where the seed had its paths.
_AEGIS: Final = ("aegis", "api")


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the application needs to know beside its parts."""

    root: str = "/api"
    host_name: str = "edgehost"
    version: str = ""
    body_bytes: int = 1024 * 1024
    max_streams: int = 32  # each holds a connection and a backlog of events
    max_sockets: int = 32
    brokers: tuple[str, ...] = ()  # "mqtt://broker:1883", whose topics reach the ports
    aegis_prefix: bool = False  # answer below /aegis/api too
    coap_base: str = ""  # "coap://host/api/" where the same is answered over CoAP
    heartbeat_s: float = 15.0  # proxies commonly close a silent connection after 30 to 60 s


class HostApp:
    """One ASGI application for TCP and the local socket."""

    def __init__(
        self, rooms: ApiRooms, *, host: HostControl | None, access: AccessPolicy, options: ApiOptions
    ) -> None:
        self.access: Final = access
        self.body_bytes: Final = rooms.body_bytes
        self._streams = EventStreams(
            rooms.keeping.bus,
            may_hear=lambda caller, event: may_hear(caller, rooms.models, event),
            source=options.host_name,
            max_streams=options.max_streams,
            heartbeat_s=options.heartbeat_s,
        )
        document = ApiDocument(
            rooms.models, root=options.root, title=options.host_name, version=options.version
        )
        self._sockets: Final = WebSockets(rooms, source=options.host_name, max_sockets=options.max_sockets)
        ports = PortRoutes(rooms)
        things = ThingRoutes(rooms, options.host_name, access.has_token, options.brokers, options.coap_base)
        self._own: Final = OwnRoutes(rooms, ports)
        self._aegis: AegisRoutes | None = None
        if options.aegis_prefix:
            from edgehost.api import aegis_routes  # noqa: PLC0415 - half a megabyte, off by default

            self._aegis = aegis_routes.AegisRoutes(rooms, ports, self._own, host)
        self._prefix: Final = tuple(options.root.strip("/").split("/"))
        self._root = options.root
        self._answers: Final[dict[str, _Answer]] = {
            "models": ModelRoutes(rooms, ports, things).answer,
            "things": things.answer,
            "events": self._streams.answer,
            "openapi.json": document.answer,
            _SOCKET: _upgrade_needed,
        }
        if host is not None:
            self._answers[_CONTROL] = HostRoutes(host, body_bytes=options.body_bytes).answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"There is nothing to do for {scope['type']!r}.")
        try:
            response: ASGIApp = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - each is told to the client, faults of ours in the log
            response = problem_response(reported(error))
        await response(scope, receive, send)

    def close_streams(self) -> None:
        """End every event stream and socket, so that the server can close."""
        self._streams.close()
        self._sockets.close()

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            require_few_headers(scope)
            if scope["path"] != f"{self._root}/{_SOCKET}":
                raise NotFoundError(
                    f"There is no WebSocket at '{scope['path'][:120]}'.", hint=f"Use {self._root}/{_SOCKET}."
                )
            scope[CALLER] = self.access.require_allowed(with_offered_token(scope), control=False)
            await self._sockets.serve(scope, receive, send)
        except EdgehostError as error:
            await WebSocket(scope, receive, send).send_denial_response(problem_response(error))

    async def _answer(self, request: Request) -> ASGIApp:
        require_few_headers(request.scope)
        steps = tuple(request.scope["path"].split("/")[1:])
        depth = len(self._prefix)
        below = steps[depth:] if steps[:depth] == self._prefix else ()
        first = below[0] if below else ""
        if self._aegis is not None and steps[: len(_AEGIS)] == _AEGIS:
            control = steps[len(_AEGIS) :] == ("config",)
            request.scope[CALLER] = self.access.require_allowed(request.scope, control=control)
            return await self._aegis.answer(request, steps[len(_AEGIS) :])
        request.scope[CALLER] = self.access.require_allowed(request.scope, control=first == _CONTROL)
        answer = self._answers.get(first)
        if answer is not None:
            return await answer(request, below[1:])
        if below and (response := await self._own.answer(request, below)) is not None:
            return response
        raise NotFoundError(
            f"There is nothing at '{request.scope['path'][:120]}'.",
            hint=f"See {self._root}/models and {self._root}/openapi.json.",
        )


async def _upgrade_needed(_request: Request, _path: tuple[str, ...]) -> ASGIApp:
    raise UpgradeRequiredError(
        "This path is for WebSockets.", hint="Open it as ws://...", headers={"upgrade": "websocket"}
    )


def make_app(
    keeping: RecordKeeping,
    models: LiveModels,
    *,
    host: HostControl | None = None,
    access: AccessPolicy | None = None,
    options: ApiOptions = ApiOptions(),
    ports: PortRooms | None = None,
    relations: Relations | None = None,
) -> HostApp:
    """The application; ``host`` adds the control routes, ``ports`` the ports, ``relations`` what follows them."""
    rooms = ApiRooms(keeping, models, options.root, options.body_bytes, ports, relations)
    return HostApp(rooms, host=host, access=access or AccessPolicy(), options=options)
