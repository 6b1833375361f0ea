"""The SandboxFactory over a zygote; another zygote takes over when one is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.adapters.sandbox.zygote_link import ZygoteLink
from edgehost.domain.errors import EdgehostError, InvalidComponentError, SandboxDiedError, UnavailableError
from edgehost.domain.wasm_sections import MAX_WASM_BYTES
from edgehost.ports.sandbox import GuestLog, HostCall, SandboxPlan

_log = logging.getLogger("edgehost.sandbox")
_START_DEADLINE_S: Final = 5.0
# Copies of input and output, and of the module while it is rewritten and parsed.
_COPIES: Final = 4


class WasmSandboxFactory:
    """Starts sandboxes; made by open_sandbox_factory."""

    def __init__(self, *, start_deadline_s: float, withheld: Mapping[str, str]) -> None:
        self._start_deadline_s, self._withheld = start_deadline_s, withheld
        self._zygote: ZygoteLink | None = None
        self._changing = asyncio.Lock()
        self._sandboxes: set[WasmSandbox] = set()
        self._closed = False
        self._confinement: dict[str, str] = {}

    @property
    def zygote_pid(self) -> int:
        """The zygote's process id; 0 without one."""
        return self._zygote.pid if self._zygote is not None else 0

    def confinement(self) -> Mapping[str, str]:
        """State of each defence: "on", or "off: why"."""
        return dict(self._confinement)

    async def start(self, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog) -> WasmSandbox:
        """A running, locked-down instance with the module loaded; see the port.

        Raises:
            DeadlineExceededError, SandboxDiedError: its start function or initialisation never ended, or crashed.
        """
        if len(plan.wasm) > MAX_WASM_BYTES:
            raise InvalidComponentError(
                f"{plan.component} has {len(plan.wasm)} bytes; a component has at most {MAX_WASM_BYTES}."
            )
        zygote = await self.ready()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:  # too many are open: whoever keeps instances tries again later
            raise UnavailableError(f"no sandbox can be started: {error}.") from None
        ours.settimeout(0)
        try:
            with theirs:
                process = await zygote.spawn(theirs, memory_bytes=_memory_bytes(plan))
        except BaseException:
            ours.close()
            raise
        sandbox = WasmSandbox(plan, process, host_call=host_call, log=log)
        sandbox.on_end = self._sandboxes.discard
        self._sandboxes.add(sandbox)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: sandbox.link, sock=ours)
            self._note(await sandbox.load(self._start_deadline_s))
        except BaseException as error:
            await sandbox.close()
            if isinstance(error, SandboxDiedError) and not zygote.alive:
                raise UnavailableError("the sandbox zygote was lost while a sandbox started.") from None
            raise
        return sandbox

    async def ready(self) -> ZygoteLink:
        """A living zygote, started when there is none.

        Raises:
            UnavailableError: none can be started.
        """
        async with self._changing:
            if self._closed:
                raise UnavailableError("the sandbox factory is closed.")
            if self._zygote is not None and not self._zygote.alive:
                await self._zygote.close()
                self._zygote = None
                _log.warning("starting another sandbox zygote")
            if self._zygote is None:
                self._zygote = await ZygoteLink.started(self._withheld)
                self._note(self._zygote.confinement)
            return self._zygote

    async def rehearse(self) -> None:
        """Learn how sandboxes are confined on this machine, from a zygote that ends again.

        Raises:
            UnavailableError: none can be started.
        """
        zygote = await ZygoteLink.started(self._withheld)
        self._note(zygote.confinement)
        await zygote.close()

    async def close(self) -> None:
        """End every sandbox and the zygote."""
        self._closed = True
        async with self._changing:
            for sandbox in tuple(self._sandboxes):
                with suppress(EdgehostError):
                    await sandbox.close()
            if self._zygote is not None:
                await self._zygote.close()

    def _note(self, states: Mapping[str, str]) -> None:
        for name, state in states.items():
            if state != "on" and self._confinement.get(name) != state:
                _log.warning("sandboxes run WITHOUT the defence %r (%s)", name, state.removeprefix("off: "))
            self._confinement[name] = state


@asynccontextmanager
async def open_sandbox_factory(
    *,
    start_deadline_s: float = _START_DEADLINE_S,
    withheld: Mapping[str, str] | None = None,
    nothing_to_run: bool = False,
) -> AsyncIterator[WasmSandboxFactory]:
    """A factory with its zygote running; leaving the block ends every sandbox.

    With ``nothing_to_run`` the zygote is started with the first sandbox, since it takes 8 MB while no sandbox shares
    its pages; how sandboxes are confined is known all the same.

    ``withheld`` names defences that are not to be tried, each with a reason: for machines on which one of them
    misbehaves, and for tests.

    Raises:
        UnavailableError: the zygote does not start.
    """
    factory = WasmSandboxFactory(start_deadline_s=start_deadline_s, withheld=dict(withheld or {}))
    try:
        await (factory.rehearse() if nothing_to_run else factory.ready())
        yield factory
    finally:
        await factory.close()


def _memory_bytes(plan: SandboxPlan) -> int:
    limits = plan.limits
    buffers = (limits.input_kib + limits.output_kib) * 1024 + len(plan.wasm)
    # Twice the limit: a guest that filled Extism's memory first may still grow its own up to the limit.
    return 2 * limits.memory_kib * 1024 + _COPIES * buffers
