"""The inbound ports of the live models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.calling import context_of
from edgehost.api.permissions import require_own_page
from edgehost.api.reading import query_parameters, read_optional_json_body
from edgehost.api.responses import handler_for, json_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import InvalidQueryError, NotFoundError
from edgehost.domain.port_spec import Direction
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.answer_port import answer_port
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_call import PortOutcome
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.show_record import show


class PortRoutes:
    """Answers at the ports' generated paths; those with a path of their own are found there."""

    def __init__(self, rooms: ApiRooms) -> None:
        self._rooms = rooms

    async def answer(
        self, request: Request, model: LiveModel, port: str, record_id: str | None = None
    ) -> Response:
        """The answer of ``models/<endpoint>[/<id>]/ports/<port>``.

        Raises:
            NotFoundError: the model has no such inbound port.
            MethodNotAllowedError, or what the use case raises.
        """
        return await self._told(model, await self.outcome(request, model, port, record_id))

    async def answer_at(
        self,
        request: Request,
        model: LiveModel,
        port: str,
        record_id: str | None,
        params: Mapping[str, str],
    ) -> Response:
        """The answer at a path of the port's own.

        Raises:
            What the use case raises.
        """
        return await self._told(model, await self._asked(request, model, port, record_id, params))

    async def outcome(
        self, request: Request, model: LiveModel, port: str, record_id: str | None
    ) -> PortOutcome:
        """What came of asking the port, by a method that it has.

        Raises:
            As for ``answer``.
        """
        inbound = {
            name: spec
            for name, spec in model.spec.ports.items()
            if spec.direction is Direction.INBOUND and spec.enabled
        }
        spec = inbound.get(port)
        if spec is None:
            raise NotFoundError(
                f"'{model.spec.endpoint}' has no inbound port '{port[:80]}'.",
                hint=did_you_mean(port[:80], inbound),
            )
        handler_for(request, dict.fromkeys(spec.methods, port))
        return await self._asked(request, model, port, record_id, {})

    async def _asked(
        self,
        request: Request,
        model: LiveModel,
        port: str,
        record_id: str | None,
        params: Mapping[str, str],
    ) -> PortOutcome:
        """Its arguments are the body, or the parameters when there is none."""
        if self._rooms.ports is None:
            raise NotFoundError("This host answers no ports.")
        require_own_page(request)
        args = await read_optional_json_body(request, limit_bytes=self._rooms.body_bytes)
        if args is None:
            args = _given(request, params) or None
        return await answer_port(
            self._rooms.ports, model, port, record_id, args, context=context_of(request, model)
        )

    async def _told(self, model: LiveModel, outcome: PortOutcome) -> Response:
        answer: dict[str, Any] = {"result": outcome.answer}
        headers = {}
        if outcome.record is not None:
            answer["record"] = record_document(await show(self._rooms.keeping, model, outcome.record))
            headers["etag"] = f'"{outcome.record.revision}"'
        return json_response(answer, headers=headers)


def _given(request: Request, params: Mapping[str, str]) -> dict[str, str]:
    given = dict(params)
    for name, value in query_parameters(request):
        if name in given:
            raise InvalidQueryError(f"{name[:80]!r} is given twice.")
        given[name] = value
    return given
