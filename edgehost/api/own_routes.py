"""The paths that components declare for themselves: custom routes, and ports with a path of their own."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.calling import context_of
from edgehost.api.permissions import require_permissions
from edgehost.api.port_routes import PortRoutes
from edgehost.api.problems import MediaTypeError
from edgehost.api.reading import JSON, is_json, query_parameters, read_json_body, read_optional_body
from edgehost.api.responses import handler_for
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import RefusedError
from edgehost.domain.model_spec import RouteSpec
from edgehost.usecases.answer_route import REQUEST_HEADERS, RouteRequest, answer_route
from edgehost.usecases.live_models import LiveModel

_FORM: Final = "application/x-www-form-urlencoded"
#: A page that a component serves must not act for whoever looks at it: with this it is of no origin at all.
_CONFINED: Final = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "x-content-type-options": "nosniff",
}
#: The parameter that names the record of a port with a path of its own.
RECORD_PARAMETER: Final = "id"


class OwnRoutes:
    """Looks every path up anew, so that routes appear and vanish with the releases that bring them."""

    def __init__(self, rooms: ApiRooms, ports: PortRoutes) -> None:
        self._rooms = rooms
        self._ports = ports

    async def answer(self, request: Request, steps: tuple[str, ...]) -> Response | None:
        """The answer at a path below the root; None when no component has declared it.

        Raises:
            MethodNotAllowedError, or what the use case raises.
        """
        table = self._rooms.models.table
        found = table.routes.at(steps)
        if found is None:
            return None
        route, params = found
        answers = handler_for(request, route.answers)
        model = table.at(route.endpoint)
        require_permissions(request, model, "command" if isinstance(answers, RouteSpec) else "port")
        if isinstance(answers, RouteSpec):
            return await self._answer_route(request, model, answers, "/".join(steps), params)
        return await self._ports.answer_at(
            request, model, answers.port, params.pop(RECORD_PARAMETER, None), params
        )

    async def _answer_route(
        self, request: Request, model: LiveModel, route: RouteSpec, path: str, params: dict[str, str]
    ) -> Response:
        query: dict[str, list[str]] = {}
        for name, value in query_parameters(request):
            query.setdefault(name, []).append(value)
        headers = {name: text for name in REQUEST_HEADERS if (text := request.headers.get(name))}
        answer = await answer_route(
            self._rooms.keeping,
            model,
            route.export,
            RouteRequest(
                "GET" if request.method == "HEAD" else request.method,
                path,
                params,
                query,
                headers,
                await self._body(request),
            ),
            context=context_of(request, model),
        )
        return Response(answer.body, answer.status, headers={**answer.headers, **_CONFINED})

    async def _body(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        limit = self._rooms.body_bytes
        if is_json(request):
            return (await read_json_body(request, limit_bytes=limit))[0]
        body = await read_optional_body(request, limit_bytes=limit)
        if not body:
            return None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _FORM and not kind.startswith("text/"):
            raise MediaTypeError(
                f"The body is {kind[:80] or 'of no stated type'}, which is not understood here.",
                hint=f"Send {JSON}, text or a form, in UTF-8.",
                headers={"accept": f"{JSON}, text/*, {_FORM}"},
            )
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise RefusedError(f"The text is not UTF-8 at byte {error.start}.") from None
