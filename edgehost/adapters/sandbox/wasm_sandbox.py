"""One sandbox as the agent sees it: a process that answers one call at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.guest_errors import died, error_of
from edgehost.adapters.sandbox.guest_http import fetch
from edgehost.adapters.sandbox.guest_link import GuestLink
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from edgehost.adapters.sandbox.zygote_link import Process
from edgehost.domain.errors import (
    DeadlineExceededError,
    EdgehostError,
    GuestProtocolError,
    NotGrantedError,
    SandboxDiedError,
    TooLargeError,
)
from edgehost.ports.sandbox import CallContext, GuestLog, HostCall, SandboxPlan

_log = logging.getLogger("edgehost.sandbox")
_END_TIMEOUT_S: Final = 2.0  # from SIGKILL to the zygote's word that the process is gone
# A guest must not be able to forge a line of the host's log, or to speak to the terminal that shows it.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SHORTEST: Final = {wire.RESULT: 1, wire.HOST_CALL: 1, wire.HTTP: 4, wire.ERROR: wire.ERROR_HEAD.size}
_SPARE_LINES: Final = 8  # log lines of the sandbox's own on top of the guest's


class WasmSandbox:
    """The Sandbox port over a process of the zygote."""

    def __init__(self, plan: SandboxPlan, process: Process, *, host_call: HostCall, log: GuestLog) -> None:
        self._plan, self._process = plan, process
        self._host_call, self._guest_log = host_call, log
        self._loop = asyncio.get_running_loop()
        limits = plan.limits
        self.link = GuestLink(
            payload_bytes=max(limits.output_kib * 1024, 65_536),
            on_log=self._on_log,
            on_gone=self._on_gone,
            on_broken=self._on_broken,
        )
        self._alive = True
        self._busy = False
        self._broken = ""
        self.on_end: Callable[[WasmSandbox], None] = lambda _: None

    @property
    def pid(self) -> int:
        """The sandbox's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it died, was condemned, or asked to be replaced."""
        return self._alive

    async def load(self, deadline_s: float) -> dict[str, str]:
        """Hand the module over; returns the state of the process's defences."""
        plan, limits = self._plan, self._plan.limits
        document = LoadPlan(
            abi=str(plan.abi),
            memory_kib=limits.memory_kib,
            stack_kib=limits.stack_kib,
            input_bytes=limits.input_kib * 1024,
            output_bytes=limits.output_kib * 1024,
            host_calls=limits.host_calls,
            log_lines=limits.log_lines,
            functions=plan.grants.functions,
            config=plan.config,
            types=plan.types,
        ).to_json()
        size = len(document).to_bytes(4, "little")
        states: dict[str, str] = self._json_of(
            await self._exchange(
                (wire.LOAD, size, document, plan.wasm),
                wire.LOADED,
                "it did not start",
                deadline_s,
                CallContext(),
            )
        )
        return states

    async def exports(self) -> tuple[str, ...]:
        """Compile every exported function and name them."""
        deadline_s = max(5.0, self._plan.limits.deadline_ms / 1000)
        names = await self._exchange(
            (wire.EXPORTS,), wire.NAMES, "its exports did not compile", deadline_s, CallContext()
        )
        return tuple(self._json_of(names))

    async def call(
        self, function: str, payload: bytes, *, deadline_s: float, context: CallContext = CallContext()
    ) -> bytes:
        """The guest's answer; see the port."""
        name = function.encode()
        if len(payload) > self._plan.limits.input_kib * 1024:
            raise TooLargeError(
                f"{self._plan.component}: the input has {len(payload)} bytes; its limit is "
                f"{self._plan.limits.input_kib} KiB.",
                hint="Raise limits.input_kib or send less.",
            )
        deadline_s = max(0.0, min(deadline_s, context.deadline - self._loop.time()))
        head = wire.CALL_HEAD.pack(deadline_s, len(name[:1024]))
        body = await self._exchange(
            (wire.CALL, head, name[:1024], payload),
            wire.RESULT,
            f"{function[:128]} did not answer",
            deadline_s,
            context,
        )
        if body[0] & wire.RETIRE:
            self._alive = False
        return body[1:]

    async def close(self) -> None:
        """End the process; returns once it is gone."""
        self._alive = False
        self._process.kill()
        self.link.abort()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await asyncio.shield(self._process.ended)
        except TimeoutError:
            _log.error("sandbox %d of %s does not end", self.pid, self._plan.component)

    def condemn(self) -> None:
        """Never use it again, and end it now."""
        self._alive = False
        self._process.kill()

    async def _exchange(
        self,
        request: tuple[int, *tuple[bytes, ...]],
        wanted: int,
        late: str,
        deadline_s: float,
        context: CallContext,
    ) -> bytes:
        if self._busy:
            raise RuntimeError("a sandbox answers one call at a time")
        if not self.link.open:
            raise await self._death()
        self._busy = True
        deadline = self._loop.time() + deadline_s
        answered = False
        try:
            async with asyncio.timeout_at(deadline):
                body = await self._conversation(request, wanted, replace(context, deadline=deadline))
            answered = True
        except TimeoutError:
            raise DeadlineExceededError(
                f"{self._plan.component}: {late} within {deadline_s:.3g} s and was killed.",
                hint="Raise limits.deadline_ms, or do less in one call.",
            ) from None
        except ConnectionResetError:
            raise await self._death() from None
        except EdgehostError as error:
            answered = not isinstance(error, GuestProtocolError | SandboxDiedError) or not self._broken
            raise
        finally:
            self._busy = False
            if not answered:  # the deadline, a cancelled caller, a broken protocol: the guest may still run
                self.condemn()
        return body

    async def _conversation(
        self, request: tuple[int, *tuple[bytes, ...]], wanted: int, context: CallContext
    ) -> bytes:
        limits = self._plan.limits
        calls_left = limits.host_calls
        lines = limits.log_lines + _SPARE_LINES
        waiter = self.link.expect(lines)
        self.link.send(*request)
        while True:
            kind, body = await waiter
            if len(body) < _SHORTEST.get(kind, 0):
                raise self._protocol_error(f"a frame of kind {kind} that is too short")
            if kind == wanted:
                return body
            if kind == wire.ERROR:
                raise self._reported(body)
            if kind not in (wire.HOST_CALL, wire.HTTP) or calls_left <= 0:
                raise self._protocol_error(f"a frame of kind {kind}")
            calls_left -= 1
            if kind == wire.HTTP:
                reply = await self._fetch(body, context)
            else:
                reply = bytes((wire.OK,)) + await self._call_host(body, context)
            waiter = self.link.expect(self.link.log_lines_left)
            self.link.send(wire.HOST_REPLY, reply)

    async def _call_host(self, body: bytes, context: CallContext) -> bytes:
        size = body[0]
        name = body[1 : 1 + size].decode("utf-8", "replace")
        component = self._plan.component
        try:
            if name not in self._plan.grants.functions:
                raise NotGrantedError(f"{component} was not granted {name!r}.")
            inner = replace(context, chain=(*context.chain, component))
            reply = await self._host_call(component, name, body[1 + size :], inner)
            most = self._plan.limits.memory_kib * 1024
            if len(reply) > most:
                raise TooLargeError(f"the reply has {len(reply)} bytes; the guest has room for {most}.")
        except EdgehostError as error:
            return json.dumps({"error": {"code": error.code, "message": str(error)}}).encode()
        return reply

    async def _fetch(self, body: bytes, context: CallContext) -> bytes:
        size = int.from_bytes(body[:4], "little")
        try:
            context.acting("An HTTP request")
            answer = await fetch(
                body[4 : 4 + size],
                body[4 + size :],
                granted=self._plan.grants.http_hosts,
                timeout_s=context.deadline - self._loop.time(),
                most_bytes=self._plan.limits.memory_kib * 1024 // 2,
            )
        except EdgehostError as error:
            return bytes((wire.DENIED,)) + wire.clip(str(error))
        return bytes((wire.OK,)) + answer

    def _json_of(self, body: bytes) -> Any:  # noqa: ANN401 - a document holds anything
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            self.condemn()
            raise self._protocol_error("a document that is no JSON") from None

    def _reported(self, body: bytes) -> EdgehostError:
        code, retire, message, hint = wire.read_error(body)
        if retire or code in (wire.INVALID, wire.ENGINE):
            self.condemn()
        return error_of(self._plan.component, code, message, hint)

    def _protocol_error(self, what: str) -> GuestProtocolError:
        self._broken = self._broken or what
        return GuestProtocolError(
            f"{self._plan.component}: its sandbox sent {what} and was ended.",
            hint="Its instance is replaced.",
        )

    async def _death(self) -> EdgehostError:
        if self._broken:
            return self._protocol_error(self._broken)
        self.condemn()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                return died(self._plan.component, await asyncio.shield(self._process.ended))
        except TimeoutError:
            return died(self._plan.component, None)

    def _on_log(self, level: int, text: str) -> None:
        self._guest_log(self._plan.component, wire.LEVELS[level], _CONTROLS.sub(_escaped, text))

    def _on_broken(self, what: str) -> None:
        self._broken = what
        self.condemn()
        self.link.abort()

    def _on_gone(self) -> None:
        self._alive = False
        self._process.kill()  # a process that closed its socket has nothing left to do
        self.on_end(self)


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
