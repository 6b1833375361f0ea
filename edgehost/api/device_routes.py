"""The routes by which an operator sees the devices behind a host, and uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.reading import read_optional_body, read_optional_json_body
from edgehost.api.responses import handler_for, json_response
from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.ports.device_control import DeviceControl
from edgehost.ports.host_control import HostControl

_Handler = Callable[[Request, tuple[str, ...]], Awaitable[Response]]


class DeviceRoutes:
    """Answers below ``<root>/host/devices``, beside HostRoutes."""

    def __init__(self, host: HostControl, *, body_bytes: int) -> None:
        self._host = host
        self._body_bytes = body_bytes

    @property
    def _devices(self) -> DeviceControl:
        return self._host.devices()

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The answer for a path below ``devices``.

        Raises:
            NotFoundError, MethodNotAllowedError, or what the device raises.
        """
        handlers: Mapping[str, _Handler]
        match path:
            case ():
                handlers = {"GET": self._all}
            case (_,):
                handlers = {"GET": self._one}
            case (_, "log"):
                handlers = {"GET": self._log}
            case (_, "deploy"):
                handlers = {"POST": self._deploy}
            case (_, "rollback"):
                handlers = {"POST": self._roll_back}
            case (_, "reset"):
                handlers = {"POST": self._reset}
            case (_, "call", _, _):
                handlers = {"POST": self._call}
            case _:
                raise NotFoundError(
                    f"Devices have no '{'/'.join(path[1:])[:80]}'.",
                    hint="There are devices/NAME, and behind it log, deploy, rollback, reset and call/COMPONENT/FUNCTION.",
                )
        return await handler_for(request, handlers)(request, path)

    async def _all(self, _request: Request, _path: tuple[str, ...]) -> Response:
        return json_response({"devices": self._devices.devices()})

    async def _one(self, _request: Request, path: tuple[str, ...]) -> Response:
        return json_response(await self._devices.device(path[0]))

    async def _log(self, _request: Request, path: tuple[str, ...]) -> Response:
        return Response(await self._devices.device_log(path[0]), media_type="text/plain")

    async def _deploy(self, request: Request, path: tuple[str, ...]) -> Response:
        order: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        if not isinstance(order, dict) or not isinstance(order.get("component"), str):
            raise RefusedError("The component is missing.", hint='Send {"component": "..."}.')
        version = order.get("version")
        if version is not None and not isinstance(version, str):
            raise RefusedError("version must be a string.")
        if unknown := set(order) - {"component", "version"}:
            raise RefusedError(f"{min(unknown)[:80]!r} is unknown here.")
        return json_response(await self._devices.deploy_to_device(path[0], order["component"], version))

    async def _roll_back(self, _request: Request, path: tuple[str, ...]) -> Response:
        return json_response(await self._devices.roll_device_back(path[0]))

    async def _reset(self, _request: Request, path: tuple[str, ...]) -> Response:
        await self._devices.reset_device(path[0])
        return json_response({}, status=HTTPStatus.ACCEPTED)

    async def _call(self, request: Request, path: tuple[str, ...]) -> Response:
        name, _, component, function = path
        payload = await read_optional_body(request, limit_bytes=self._body_bytes)
        output = await self._devices.call_device(name, component, function, payload)
        return Response(output, media_type="application/octet-stream")
