"""Where guest code runs: a process of its own, started from bytes that were already checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from edgehost.domain.component_spec import Abi, Grants, Limits
from edgehost.domain.shadow_call import ShadowCallError


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """All that a sandbox is given."""

    component: str
    wasm: bytes = field(repr=False)
    abi: Abi = Abi.EXTISM
    limits: Limits = Limits()
    grants: Grants = Grants()
    config: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    types: Mapping[str, str] = field(default_factory=dict)  # of the data's members, for abi "aegis"


@dataclass(slots=True)
class CallTrail:
    """What a call has done beside computing its answer; all who take part in the call share it."""

    acted: bool = False  # on the world, or tried to


@dataclass(frozen=True, slots=True)
class Bound:
    """What an adapter is bound to for one call of a port, whatever is bound anew meanwhile."""

    adapter: str
    service: str
    until: float  # the end of the port's try, on the event loop's clock


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who is calling: the components on the way here, outermost first. Bounds circles between components."""

    chain: tuple[str, ...] = ()
    deadline: float = float("inf")  # monotonic seconds; a nested call cannot outlive its caller
    sticky: str = ""  # calls with the same word reach the same version, while several are live
    record_id: str = ""  # the record that the call is about
    shadow: bool = False  # the answer is only compared: nothing may be done to the world
    trail: CallTrail | None = field(default=None, compare=False, repr=False)
    bound: Bound | None = None  # of the adapter that is called
    check: bool = False  # the host asks how the component is: the time it takes says nothing of callers'

    def acting(self, what: str) -> None:
        """Note that the call is about to act on the world.

        Raises:
            ShadowCallError: it is a shadow of another call, and may only read.
        """
        if self.trail is not None:
            self.trail.acted = True
        if self.shadow:
            raise ShadowCallError(
                f"{what} is not done: this call is a shadow, and its answer is only compared.",
                hint="A shadow call may read.",
            )


#: Answers a guest's call to a granted function: (component, function, payload, context) -> reply.
#: An EdgehostError is told to the guest as a failed call; the guest goes on.
HostCall = Callable[[str, str, bytes, CallContext], Awaitable[bytes]]

#: Takes a line of the guest's log: (component, level, message).
GuestLog = Callable[[str, str, str], None]


class Sandbox(Protocol):
    """One instance in one process. One call at a time; the pool sees to it."""

    @property
    def pid(self) -> int:
        """The sandbox's process id."""
        ...

    @property
    def alive(self) -> bool:
        """False once it died or was condemned: a trap that is more than a trap, a deadline, a closed process."""
        ...

    async def exports(self) -> tuple[str, ...]:
        """Compile every exported function and name them.

        Raises:
            InvalidComponentError: wasm3 cannot compile one of them.
        """
        ...

    async def call(
        self, function: str, payload: bytes, *, deadline_s: float, context: CallContext = ...
    ) -> bytes:
        """The guest's answer.

        For ``extism``: payload is the input, the answer the output. For ``plain``: payload is a JSON list of
        arguments, the answer a JSON list of results. For ``aegis``: both are JSON, objects of strings mostly.

        Raises:
            NotFoundError: there is no such export.
            TooLargeError: input or output passes its limit.
            GuestTrapError, GuestFailedError, GuestProtocolError, DeadlineExceededError, SandboxDiedError.
        """
        ...

    async def close(self) -> None:
        """End the process; returns once it is gone."""
        ...


class SandboxFactory(Protocol):
    """Starts sandboxes."""

    async def start(self, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog) -> Sandbox:
        """A running, locked-down instance with the module loaded.

        Raises:
            InvalidComponentError: the module cannot be loaded, or imports what it was not granted.
            DeadlineExceededError, SandboxDiedError: its start function or initialisation never ended, or crashed.
            UnavailableError: no process can be started now.
        """
        ...

    def confinement(self) -> Mapping[str, str]:
        """State of each defence: "on", or "off: why". For ``doctor`` and the start-up warning."""
        ...


#: Opens a factory; closing it ends every sandbox.
SandboxFactoryOpener = Callable[[], AbstractAsyncContextManager[SandboxFactory]]
