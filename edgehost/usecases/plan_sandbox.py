"""What a release's instances get: what the component asks for, cut to what this host gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgehost.domain.aegis_contract import types_for
from edgehost.domain.component_spec import ComponentSpec, Grants, Limits
from edgehost.domain.errors import IncompatibleReleaseError, InvalidComponentError, UnavailableError
from edgehost.domain.wasm_outline import PAGE_KIB, read_outline
from edgehost.ports.sandbox import GuestLog, HostCall, Sandbox, SandboxFactory, SandboxPlan

#: In front of the name, where a guest reads which component is behind it.
DEPENDENCY: Final = "dependency."


@dataclass(frozen=True, slots=True)
class HostTerms:
    """What this host gives any component, and one component in particular."""

    memory_kib: int
    deadline_ms: int
    deny: Collection[str] = ()  # functions, models, components and HTTP hosts that are withheld
    config: Mapping[str, str] = field(default_factory=dict, repr=False)  # on top of the component's own


def plan_sandbox(spec: ComponentSpec, wasm: bytes, terms: HostTerms) -> SandboxPlan:
    """The plan for one instance; the smaller limit holds, and a denied grant is gone.

    The guest reads its dependencies as config. This host may put another component in the place of one that is
    asked for, and grants it with that.

    Raises:
        IncompatibleReleaseError: the component keeps its own limit, but starts with more than this host gives.
    """
    _require_room(spec, wasm, terms)
    names = spec.model.dependencies if spec.model is not None else {}
    config = {**spec.config, **{f"{DEPENDENCY}{name}": each for name, each in names.items()}, **terms.config}
    replaced = tuple(terms.config[key] for name in names if (key := f"{DEPENDENCY}{name}") in terms.config)
    grants = replace(spec.grants, components=tuple(dict.fromkeys((*spec.grants.components, *replaced))))
    return SandboxPlan(
        component=spec.name,
        wasm=wasm,
        abi=spec.abi,
        limits=_cut(spec.limits, terms),
        grants=_granted(grants, terms.deny),
        config=config,
        types=types_for(spec),
    )


def dependencies_of(spec: ComponentSpec, config: Mapping[str, str]) -> Mapping[str, str]:
    """The component behind each name that the model gives to another, by the config of its instances."""
    names = spec.model.dependencies if spec.model is not None else {}
    return {name: config[f"{DEPENDENCY}{name}"] for name in names}


def _require_room(spec: ComponentSpec, wasm: bytes, terms: HostTerms) -> None:
    if terms.memory_kib >= spec.limits.memory_kib:
        return  # then its own limit holds, and the sandbox looks to that
    try:
        least_kib = max((memory.least * PAGE_KIB for memory in read_outline(wasm).memories), default=0)
    except InvalidComponentError:
        return  # the sandbox says what is wrong with it
    if terms.memory_kib < least_kib <= spec.limits.memory_kib:
        raise IncompatibleReleaseError(
            f"{spec.name} {spec.version} starts with {least_kib} KiB of memory; "
            f"this host gives a component {terms.memory_kib} KiB.",
            hint=f"Set [limits] memory_kib = {least_kib} or more.",
        )


def _cut(limits: Limits, terms: HostTerms) -> Limits:
    return replace(
        limits,
        memory_kib=min(limits.memory_kib, terms.memory_kib),
        deadline_ms=min(limits.deadline_ms, terms.deadline_ms),
    )


def _granted(grants: Grants, deny: Collection[str]) -> Grants:
    def left(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in deny)

    return Grants(
        functions=left(grants.functions),
        models=left(grants.models),
        components=left(grants.components),
        http_hosts=left(grants.http_hosts),
    )


class CappedSandboxes:
    """A factory that stops at so many sandboxes at a time, whichever component asks."""

    def __init__(self, factory: SandboxFactory, most: int) -> None:
        self._factory = factory
        self._most = most
        self._alive: list[Sandbox] = []
        self._starting = 0

    async def start(self, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog) -> Sandbox:
        """A running instance.

        Raises:
            UnavailableError: the host runs as many as it may, or no process can be started.
            InvalidComponentError: the module cannot be loaded.
        """
        self._alive = [sandbox for sandbox in self._alive if sandbox.alive]
        if len(self._alive) + self._starting >= self._most:
            raise UnavailableError(
                f"This host already runs {self._most} instances, as many as it may.",
                hint="Raise [limits] instances_total, or lower instances_max of a component.",
            )
        self._starting += 1
        try:
            sandbox = await self._factory.start(plan, host_call=host_call, log=log)
        finally:
            self._starting -= 1
        self._alive.append(sandbox)
        return sandbox

    def confinement(self) -> Mapping[str, str]:
        """State of each defence."""
        return self._factory.confinement()
