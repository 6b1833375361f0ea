"""The Extism ABI: ``extism:host/env`` and the granted functions of ``extism:host/user``.

An export takes nothing and returns nothing or an i32. A non-zero return, or an error text that is set, is a
refusal by the guest; a wrong offset in a host function is a trap, as in Extism's own host.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.abi.extism_memory import ExtismMemory
from edgehost.adapters.sandbox.worker.agent_link import Agent
from edgehost.adapters.sandbox.worker.engine import Engine, HostTable
from edgehost.adapters.sandbox.worker.faults import Fault, GuestExit, Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan

ENV: Final = "extism:host/env"
USER: Final = "extism:host/user"
_VARIABLES_BYTES: Final = 1024 * 1024  # Extism's own default
_ENTRY_BYTES: Final = 48  # what Extism counts for one variable on top of its key and value


class ExtismAbi:
    """State of one plug-in: its memory block table, variables and the last HTTP answer."""

    def __init__(self, agent: Agent, plan: LoadPlan) -> None:
        self._agent, self._plan = agent, plan
        self._guest_pages: Callable[[], int] = lambda: 0
        self.memory = ExtismMemory(lambda: plan.memory_pages - self._guest_pages())
        self._variables: dict[str, bytes] = {}
        self._http_status = 0
        self._http_headers: dict[str, str] | None = None

    def table(self) -> HostTable:
        """The host functions, with their signatures."""
        memory = self.memory
        env: dict[str, tuple[str, Any]] = {
            "alloc": ("I(I)", memory.alloc),
            "free": ("v(I)", memory.free),
            "length": ("I(I)", memory.length),
            "length_unsafe": ("I(I)", memory.length_unsafe),
            "load_u8": ("i(I)", memory.load_u8),
            "load_u64": ("I(I)", memory.load_u64),
            "store_u8": ("v(Ii)", memory.store_u8),
            "store_u64": ("v(II)", memory.store_u64),
            "input_offset": ("I()", memory.input_offset),
            "input_length": ("I()", memory.input_length),
            "input_load_u8": ("i(I)", memory.input_load_u8),
            "input_load_u64": ("I(I)", memory.input_load_u64),
            "output_set": ("v(II)", memory.output_set),
            "error_set": ("v(I)", memory.error_set),
            "error_get": ("I()", memory.error_get),
            "reset": ("v()", memory.reset),
            "config_get": ("I(I)", self._config_get),
            "var_get": ("I(I)", self._var_get),
            "var_set": ("v(II)", self._var_set),
            "http_request": ("I(II)", self._http_request),
            "http_status_code": ("i()", lambda: self._http_status),
            "http_headers": ("I()", self._headers),
            "get_log_level": ("i()", lambda: self._plan.log_level),
        }
        for level, name in enumerate(("trace", "debug", "info", "warn", "error")):
            env[f"log_{name}"] = ("v(I)", self._logger(level))
        table = {(ENV, name): entry for name, entry in env.items()}
        table |= {(USER, name): ("I(I)", self._user_function(name)) for name in self._plan.functions}
        return table

    def loaded(self, engine: Engine) -> None:
        """Count the guest's own memory from now on."""
        self._guest_pages = engine.memory_pages

    def started(self, engine: Engine) -> None:
        """Run the guest's own initialisation, in the order in which Extism's host looks for it."""
        exports = engine.module.exports

        def plain(name: str) -> bool:
            return name in exports and str(exports[name].signature) == "v()"

        if "hs_init" in exports:
            if plain("_initialize"):
                engine.invoke(exports["_initialize"])
            engine.invoke(exports["hs_init"], (0,) * len(exports["hs_init"].signature.params))
        else:
            for name in ("__wasm_call_ctors", "_initialize"):
                if name in exports:
                    if plain(name):
                        engine.invoke(exports[name])
                    return

    def call(self, engine: Engine, function: str, payload: bytes) -> bytes:
        """Input in, output out."""
        export = engine.export(function)
        if export.signature.params or export.signature.results not in ("", "i"):
            raise Fault(
                wire.PROTOCOL,
                f"the export {function!r} is {export.signature}; an Extism export takes nothing and returns i32.",
                "Is its ABI 'plain'?",
            )
        memory = self.memory
        memory.reset()
        memory.take_input(payload)
        try:
            status = engine.invoke(export) or 0
        except GuestExit as exit_:
            status = exit_.status
        except Trap as trap:
            text = memory.error()
            if text:
                raise Trap(f"{trap.message}: {text.decode('utf-8', 'replace')}") from None
            raise
        text = memory.error()
        if text:
            raise Fault(wire.FAILED, text.decode("utf-8", "replace"))
        if status:
            raise Fault(wire.FAILED, f"{function} returned {status} without an error text.")
        output = memory.output(self._plan.output_bytes)
        if output is None:
            raise Fault(
                wire.TOO_LARGE,
                f"the output is larger than {self._plan.output_bytes // 1024} KiB.",
                "Raise limits.output_kib or return less.",
            )
        return output

    def _text(self, offset: int, what: str) -> str:
        try:
            return self.memory.block(offset, what).decode()
        except UnicodeDecodeError as error:
            raise Trap(f"{what} is no UTF-8: {error.reason} at {error.start}") from None

    def _config_get(self, key_offset: int) -> int:
        key = self._text(key_offset, "config key")
        self.memory.free(key_offset)
        return self.memory.put(self._plan.config.get(key, "").encode())

    def _var_get(self, key_offset: int) -> int:
        key = self._text(key_offset, "var key")
        self.memory.free(key_offset)
        return self.memory.put(self._variables.get(key, b""))

    def _var_set(self, key_offset: int, value_offset: int) -> None:
        key = self._text(key_offset, "var key")
        if value_offset == 0:
            self._variables.pop(key, None)
        else:
            value = self.memory.block(value_offset, "var value")
            size = sum(len(k.encode()) + len(v) + _ENTRY_BYTES for k, v in self._variables.items())
            if size + len(key.encode()) + len(value) + _ENTRY_BYTES > min(
                _VARIABLES_BYTES, self._plan.memory_bytes
            ):
                raise Trap("Variable store is full")
            self._variables[key] = value
            self.memory.free(value_offset)
        self.memory.free(key_offset)

    def _http_request(self, request_offset: int, body_offset: int) -> int:
        self._http_status, self._http_headers = 0, None
        request = self.memory.block(request_offset, "http request")
        self.memory.free(request_offset)
        body = self.memory.block(body_offset, "http request body")
        self.memory.free(body_offset)
        status, reply = self._agent.http(request, body)
        if status != wire.OK:
            raise Trap(reply.decode("utf-8", "replace"))
        size = int.from_bytes(reply[:4], "little")
        head = json.loads(reply[4 : 4 + size])
        self._http_status, self._http_headers = head["status"], head["headers"]
        return self.memory.put(reply[4 + size :])

    def _headers(self) -> int:
        if self._http_headers is None:
            return 0
        return self.memory.put(json.dumps(self._http_headers).encode())

    def _logger(self, level: int) -> Any:  # noqa: ANN401 - a host function
        def log(offset: int) -> None:
            if level >= self._plan.log_level:
                self._agent.log(level, self.memory.block(offset, "log message").decode("utf-8", "replace"))
            self.memory.free(offset)

        return log

    def _user_function(self, name: str) -> Any:  # noqa: ANN401 - a host function
        def call(offset: int) -> int:
            return self.memory.put(self._agent.host_call(name, self.memory.block(offset, f"input of {name}")))

        return call
