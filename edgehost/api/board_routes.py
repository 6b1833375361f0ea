"""The routes by which an operator sees the boards on a host's lines, and flashes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.reading import query_parameters, read_optional_json_body
from edgehost.api.responses import json_response
from edgehost.domain.errors import InvalidQueryError, RefusedError
from edgehost.ports.board_control import BoardControl
from edgehost.ports.host_control import HostControl

_Handler = Callable[[Request, tuple[str, ...]], Awaitable[Response]]
_DIGITS: Final = 9
_LONGEST_WAIT_S: Final = 30


class BoardRoutes:
    """Answers below ``<root>/host``, beside HostRoutes."""

    def __init__(self, host: HostControl, *, body_bytes: int) -> None:
        self._host = host
        self._body_bytes = body_bytes

    def routes(self) -> Mapping[str, tuple[int, Mapping[str, _Handler]]]:
        """As HostRoutes has them."""
        return {
            "boards": (0, {"GET": self._all_boards}),
            "lines": (0, {"GET": self._lines}),
            "firmware": (0, {"GET": self._firmware}),
            "flash": (0, {"GET": self._flashes, "POST": self._flash}),
            "flash-state": (1, {"GET": self._flash_state}),
        }

    @property
    def _boards(self) -> BoardControl:
        return self._host.boards()

    async def _all_boards(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"boards": self._boards.boards()})

    async def _lines(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"lines": await self._boards.lines()})

    async def _firmware(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"firmware": self._boards.firmware()})

    async def _flashes(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"flashes": self._boards.flashes()})

    async def _flash(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        if not isinstance(order, dict):
            raise RefusedError("The order must be a JSON object.", hint='{"board": ..., "firmware": ...}')
        return json_response(await self._boards.flash(order), status=HTTPStatus.ACCEPTED)

    async def _flash_state(self, request: Request, rest: tuple[str, ...]) -> Response:
        parameters = dict(query_parameters(request))
        seen, wait_s = parameters.pop("seen", "0"), parameters.pop("wait_s", "0")
        if parameters:
            raise InvalidQueryError(
                f"{next(iter(parameters))[:80]!r} is unknown here.", hint="Use ?seen=TURN&wait_s=SECONDS."
            )
        return json_response(
            await self._boards.flash_state(
                _number(rest[0], "flash"),
                seen=_number(seen, "seen"),
                wait_s=min(_number(wait_s, "wait_s"), _LONGEST_WAIT_S),
            )
        )


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidQueryError(f"'{name}' must be a whole number.")
    return int(text)
