"""How a .wasm file is tried: what it says of itself holds where the command line does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgehost.cli.usage import UsageError
from edgehost.domain.aegis_contract import AEGIS_MODULE, looks_like_aegis, types_for
from edgehost.domain.component_file import SPEC_SECTION, read_component
from edgehost.domain.component_spec import HOST_FUNCTIONS, Abi, ComponentSpec, Grants, Limits
from edgehost.domain.errors import NotFoundError
from edgehost.domain.guest_contract import ENV_MODULE, USER_MODULE
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.wasm_outline import Extern, WasmOutline, read_outline
from edgehost.domain.wasm_sections import read_sections
from edgehost.ports.sandbox import SandboxPlan

#: A file without a specification is tried with room: the author wants to see it run, and it stays in its sandbox.
TRIAL_LIMITS: Final = Limits(
    memory_kib=65_536,
    stack_kib=64,
    deadline_ms=10_000,
    input_kib=65_536,
    output_kib=65_536,
    instances_min=1,
    instances_max=1,
    host_calls=1_000_000,
    log_lines=10_000,
)
_EXTISM_MODULES: Final = frozenset({ENV_MODULE, USER_MODULE})


@dataclass(frozen=True, slots=True)
class TrialWishes:
    """What the command line asks for; None and empty leave it to the file."""

    function: str
    abi: Abi | None = None
    has_input: bool = False
    has_numbers: bool = False
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    deadline_ms: int | None = None
    memory_kib: int | None = None
    http_hosts: tuple[str, ...] = ()


def plan_trial(name: str, wasm: bytes, wishes: TrialWishes) -> SandboxPlan:
    """The sandbox for one call.

    Raises:
        UsageError: the module cannot have the ABI that is asked for.
        InvalidComponentError: the bytes are no module, or carry a damaged specification.
        NotFoundError: it has no such function.
    """
    spec = read_component(wasm) if _has_spec(wasm) else None
    outline = read_outline(wasm)
    _require_function(outline, wishes.function)
    limits = TRIAL_LIMITS if spec is None else spec.limits
    if wishes.deadline_ms is not None:
        limits = replace(limits, deadline_ms=wishes.deadline_ms)
    if wishes.memory_kib is not None:
        limits = replace(limits, memory_kib=wishes.memory_kib)
    grants = Grants(functions=tuple(HOST_FUNCTIONS)) if spec is None else spec.grants
    return SandboxPlan(
        component=name if spec is None else spec.name,
        wasm=wasm,
        abi=_abi_of(spec, outline, wishes),
        limits=limits,
        grants=replace(grants, http_hosts=(*grants.http_hosts, *wishes.http_hosts)),
        config={**({} if spec is None else spec.config), **wishes.config},
        types={} if spec is None else types_for(spec),
    )


def _has_spec(wasm: bytes) -> bool:
    return any(section.name == SPEC_SECTION for section in read_sections(wasm))


def _require_function(outline: WasmOutline, name: str) -> None:
    if outline.function(name) is None:
        known = [export.name for export in outline.exports if export.extern is Extern.FUNCTION]
        raise NotFoundError(f"The module exports no function '{name}'.", hint=did_you_mean(name, known))


def _abi_of(spec: ComponentSpec | None, outline: WasmOutline, wishes: TrialWishes) -> Abi:
    """What a file without a specification looks like: by its imports, by AssemblyScript's runtime, by its input."""
    modules = {needed.module for needed in outline.imports}
    if wishes.abi is not None:
        if wishes.abi is Abi.PLAIN and modules & _EXTISM_MODULES:
            raise UsageError("--abi plain is for modules without Extism's imports; use --abi extism")
        return wishes.abi
    if spec is not None:
        return spec.abi
    talks_extism = bool(modules & _EXTISM_MODULES)
    if looks_like_aegis(outline) and not talks_extism and (AEGIS_MODULE in modules or not wishes.has_numbers):
        return Abi.AEGIS
    if wishes.has_input or talks_extism:
        return Abi.EXTISM
    return Abi.PLAIN
