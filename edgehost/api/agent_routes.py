"""The routes by which an operator sees and changes the agent itself: configurations, mode, crashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.reading import read_optional_json_body
from edgehost.api.responses import json_response
from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import write_json
from edgehost.ports.agent_control import AgentControl
from edgehost.ports.host_control import HostControl

_Handler = Callable[[Request, tuple[str, ...]], Awaitable[Response]]
_DIGITS: Final = 9


class AgentRoutes:
    """Answers below ``<root>/host``, beside HostRoutes."""

    def __init__(self, host: HostControl, *, body_bytes: int) -> None:
        self._host = host
        self._body_bytes = body_bytes

    def routes(self) -> Mapping[str, tuple[int, Mapping[str, _Handler]]]:
        """As HostRoutes has them."""
        return {
            "generations": (0, {"GET": self._generations}),
            "generation": (1, {"GET": self._generation}),
            "apply-config": (0, {"POST": self._apply}),
            "revert-config": (0, {"POST": self._revert}),
            "confirm-config": (0, {"POST": self._confirm}),
            "safe-mode": (0, {"POST": self._safe_mode}),
            "restart": (0, {"POST": self._restart}),
            "crashes": (0, {"GET": self._crashes}),
            "host-log": (0, {"GET": self._log}),
            "diag": (0, {"GET": self._diag}),
        }

    @property
    def _agent(self) -> AgentControl:
        return self._host.agent()

    async def _generations(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        agent = self._agent
        return json_response(
            {
                "running": agent.generation.number,
                "generations": [each.document() for each in agent.all_generations()],
            }
        )

    async def _generation(self, _request: Request, rest: tuple[str, ...]) -> Response:
        if not (rest[0].isascii() and rest[0].isdigit() and len(rest[0]) <= _DIGITS):
            raise RefusedError("A generation is named by its number.")
        text = await self._agent.text(int(rest[0]))
        return json_response({"number": int(rest[0]), "text": text.decode("utf-8", "replace")})

    async def _apply(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, "text")
        agent = self._agent
        if "text" in order:
            generation = await agent.apply(order["text"].encode(), "operator")
        else:
            generation = await agent.apply_file()
        return json_response(generation.document())

    async def _revert(self, request: Request, _rest: tuple[str, ...]) -> Response:
        await self._order(request)
        return json_response((await self._agent.revert("An operator went back.")).document())

    async def _confirm(self, request: Request, _rest: tuple[str, ...]) -> Response:
        await self._order(request)
        return json_response((await self._agent.confirm()).document())

    async def _safe_mode(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, "state")
        match order.get("state"):
            case "on":
                await self._agent.enter_safe_mode("An operator asked for it.")
            case "off":
                await self._agent.leave_safe_mode()
            case _:
                raise RefusedError("state must be 'on' or 'off'.")
        return _accepted()

    async def _restart(self, request: Request, _rest: tuple[str, ...]) -> Response:
        await self._order(request)
        self._agent.restart()
        return _accepted()

    async def _crashes(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"crashes": [each.document() for each in await self._agent.crash_reports()]})

    async def _log(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"lines": list(self._agent.host_lines)})

    async def _diag(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return Response(await self._host.diag(), media_type="application/gzip")

    async def _order(self, request: Request, *known: str) -> dict[str, str]:
        order: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        order = {} if order is None else order
        if not isinstance(order, dict) or not all(isinstance(value, str) for value in order.values()):
            raise RefusedError("The order must be a JSON object of strings.")
        for name in order:
            if name not in known:
                raise RefusedError(
                    f"{name[:80]!r} is unknown here.", hint=f"Known: {', '.join(known) or 'nothing'}."
                )
        return order


def _accepted() -> Response:
    return Response(write_json({}), HTTPStatus.ACCEPTED, media_type="application/json")
