"""The routes by which an operator sees and changes the host itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.agent_routes import AgentRoutes
from edgehost.api.board_routes import BoardRoutes
from edgehost.api.device_routes import DeviceRoutes
from edgehost.api.reading import query_parameters, read_optional_body, read_optional_json_body
from edgehost.api.responses import handler_for, json_response
from edgehost.domain.errors import InvalidQueryError, NotFoundError, RefusedError
from edgehost.domain.json_text import write_json
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.host_control import HostControl

_Handler = Callable[[Request, tuple[str, ...]], Awaitable[Response]]


class HostRoutes:
    """Answers below ``<root>/host``; reached over the local socket, or over TCP with the token."""

    def __init__(self, host: HostControl, *, body_bytes: int) -> None:
        self._host = host
        self._body_bytes = body_bytes
        self._devices = DeviceRoutes(host, body_bytes=body_bytes)
        #: First step of the path -> (number of further steps, handlers by method).
        self._routes: Final[Mapping[str, tuple[int, Mapping[str, _Handler]]]] = {
            "status": (0, {"GET": self._status}),
            "doctor": (0, {"GET": self._doctor}),
            "releases": (0, {"GET": self._releases}),
            "instances": (0, {"GET": self._instances}),
            "logs": (0, {"GET": self._logs}),
            "deployments": (0, {"GET": self._deployments}),
            "deployment-plan": (0, {"GET": self._plan, "POST": self._plan_document}),
            "deploy": (0, {"POST": self._deploy}),
            "rollback": (0, {"POST": self._rollback}),
            "withdraw": (0, {"POST": self._withdraw}),
            "unquarantine": (0, {"POST": self._unquarantine}),
            "config": (0, {"GET": self._config}),
            "traffic": (1, {"GET": self._traffic, "POST": self._change_traffic}),
            "bindings": (0, {"GET": self._bindings, "POST": self._bind}),
            "workflow": (0, {"GET": self._workflow}),
            "workflow-history": (2, {"GET": self._workflow_history}),
            "workflow-undo": (2, {"POST": self._workflow_undo}),
            "pipelines": (0, {"GET": self._pipelines}),
            "pipeline": (1, {"POST": self._run_pipeline}),
            "refresh": (0, {"POST": self._refresh}),
            "call": (2, {"POST": self._call}),
            "certificates": (0, {"GET": self._certificates}),
            "renew-certificate": (0, {"POST": self._renew_certificate}),
            "stop": (0, {"POST": self._stop}),
            **AgentRoutes(host, body_bytes=body_bytes).routes(),
            **BoardRoutes(host, body_bytes=body_bytes).routes(),
        }

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The answer for a path below ``host``.

        Raises:
            NotFoundError, MethodNotAllowedError, or what the host raises.
        """
        name, rest = (path[0], path[1:]) if path else ("", ())
        if name == "devices":
            return await self._devices.answer(request, rest)
        steps, handlers = self._routes.get(name, (0, None))
        if handlers is None or len(rest) != steps:
            raise NotFoundError(
                f"The host has no '{'/'.join(path)[:80]}'.", hint=did_you_mean(name[:80], self._routes)
            )
        return await handler_for(request, handlers)(request, rest)

    async def _status(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response(await self._host.status())

    async def _doctor(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"findings": await self._host.doctor()})

    async def _releases(self, request: Request, _rest: tuple[str, ...]) -> Response:
        component = _component_parameter(request)
        return json_response({"releases": await self._host.releases(component)})

    async def _config(self, request: Request, _rest: tuple[str, ...]) -> Response:
        parameters = dict(query_parameters(request))
        details, model = parameters.pop("details", "models"), parameters.pop("model", "")
        if parameters:
            raise InvalidQueryError(
                f"{next(iter(parameters))[:80]!r} is unknown here.", hint="Use ?details=VIEW&model=NAME."
            )
        return json_response(await self._host.view(details, model))

    async def _instances(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"instances": await self._host.instances()})

    async def _logs(self, request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"lines": await self._host.logs(_component_parameter(request))})

    async def _deployments(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"deployments": await self._host.deployments()})

    async def _plan(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response(await self._host.plan_deployments())

    async def _plan_document(self, request: Request, _rest: tuple[str, ...]) -> Response:
        document: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        if not isinstance(document, dict):
            raise RefusedError("The deployment must be a JSON object.")
        return json_response(await self._host.plan_deployments(document))

    async def _deploy(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("component",), optional=("version",))
        return json_response(await self._host.deploy(order["component"], order.get("version")))

    async def _rollback(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("component",))
        return json_response(await self._host.rollback(order["component"]))

    async def _withdraw(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("component",))
        return json_response(await self._host.withdraw(order["component"]))

    async def _unquarantine(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("digest",))
        return json_response(await self._host.unquarantine(order["digest"]))

    async def _traffic(self, _request: Request, rest: tuple[str, ...]) -> Response:
        return json_response(await self._host.traffic(rest[0]))

    async def _change_traffic(self, request: Request, rest: tuple[str, ...]) -> Response:
        order: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        if not isinstance(order, dict):
            raise RefusedError("The order must be a JSON object.")
        return json_response(await self._host.change_traffic(rest[0], order))

    async def _bindings(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response(await self._host.bindings())

    async def _bind(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("what", "target"))
        return json_response(await self._host.bind(order["what"], order["target"]))

    async def _refresh(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, optional=("remote",))
        return json_response(await self._host.refresh(order.get("remote")))

    async def _call(self, request: Request, rest: tuple[str, ...]) -> Response:
        component, function = rest
        payload = await read_optional_body(request, limit_bytes=self._body_bytes)
        output = await self._host.call(component, function, payload)
        return Response(output, media_type="application/octet-stream")

    async def _workflow(self, request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response(await self._host.workflow(_one_parameter(request, "model")))

    async def _workflow_history(self, _request: Request, rest: tuple[str, ...]) -> Response:
        model, record_id = rest
        return json_response(await self._host.workflow_history(model, record_id))

    async def _workflow_undo(self, _request: Request, rest: tuple[str, ...]) -> Response:
        model, record_id = rest
        return json_response(await self._host.workflow_undo(model, record_id))

    async def _pipelines(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"pipelines": await self._host.list_pipelines()})

    async def _run_pipeline(self, request: Request, rest: tuple[str, ...]) -> Response:
        payload = await read_optional_body(request, limit_bytes=self._body_bytes)
        output = await self._host.run_pipeline(rest[0], payload)
        return Response(output, media_type="application/octet-stream")

    async def _certificates(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        return json_response({"certificates": await self._host.renewals().certificates()})

    async def _renew_certificate(self, request: Request, _rest: tuple[str, ...]) -> Response:
        order = await self._order(request, required=("certificate",), optional=("mode",))
        mode = order.get("mode", "renew")
        if mode not in {"renew", "dry-run"}:
            raise RefusedError("mode is neither 'renew' nor 'dry-run'.")
        renewals = self._host.renewals()
        return json_response(await renewals.renew(order["certificate"], dry_run=mode == "dry-run"))

    async def _stop(self, _request: Request, _rest: tuple[str, ...]) -> Response:
        await self._host.stop()
        return Response(write_json({}), HTTPStatus.ACCEPTED, media_type="application/json")

    async def _order(
        self, request: Request, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> dict[str, str]:
        order: Any = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        order = {} if order is None else order
        if not isinstance(order, dict):
            raise RefusedError("The order must be a JSON object.")
        for name, value in order.items():
            if name not in {*required, *optional}:
                raise RefusedError(
                    f"{name[:80]!r} is unknown here.", hint=did_you_mean(name[:80], {*required, *optional})
                )
            if not isinstance(value, str):
                raise RefusedError(f"{name} must be a string.")
        for name in required:
            if name not in order:
                raise RefusedError(f"{name} is missing.", hint=f'Send {{"{name}": "..."}}.')
        return order


def _component_parameter(request: Request) -> str | None:
    return _one_parameter(request, "component")


def _one_parameter(request: Request, name: str) -> str | None:
    parameters = dict(query_parameters(request))
    value = parameters.pop(name, None)
    if parameters:
        raise InvalidQueryError(
            f"{next(iter(parameters))[:80]!r} is unknown here.", hint=f"Use ?{name}=NAME."
        )
    return value
