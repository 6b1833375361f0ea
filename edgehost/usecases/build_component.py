"""Make a component of a module and its specification, and try it before anybody else has to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.domain.aegis_contract import types_for
from edgehost.domain.component_file import embed_spec
from edgehost.domain.component_spec import Abi, ComponentSpec, read_component_spec
from edgehost.domain.errors import EdgehostError, GuestError, InvalidComponentError, UnavailableError
from edgehost.domain.guest_contract import require_contract
from edgehost.domain.spec_document import spec_document
from edgehost.domain.wasm_outline import bound_memory, read_outline
from edgehost.ports.sandbox import CallContext, GuestLog, SandboxFactory, SandboxPlan
from edgehost.ports.toolchain import Toolchain
from edgehost.usecases.check_specification import require_known_members
from edgehost.usecases.derive_model import with_derived_model


def _no_log(_component: str, _level: str, _line: str) -> None:
    """Nobody listens to a guest's log while it is built, unless asked to."""


async def build_component(
    document: Mapping[str, Any],
    wasm: bytes,
    *,
    toolchain: Toolchain,
    sandboxes: SandboxFactory,
    log: GuestLog = _no_log,
) -> bytes:
    """The component's bytes; the same document, module and tools give the same bytes.

    Raises:
        InvalidSpecificationError: the document is wrong; the message names the key.
        InvalidComponentError: the module is wrong, or not what the document says.
        UnavailableError: the toolchain or a sandbox cannot be started here.
    """
    if document.get("abi") == Abi.AEGIS:
        document = await with_derived_model(document, wasm, toolchain=toolchain, sandboxes=sandboxes, log=log)
    spec = read_component_spec(document)
    if spec.model is not None:
        require_known_members(spec.model)
    module = await toolchain.normalised(wasm)
    require_contract(spec, read_outline(module))
    component = embed_spec(bound_memory(module, spec.limits.memory_kib), spec_document(spec))
    await try_component(spec, component, sandboxes=sandboxes, log=log)
    return component


async def try_component(
    spec: ComponentSpec, component: bytes, *, sandboxes: SandboxFactory, log: GuestLog = _no_log
) -> tuple[str, ...]:
    """Compile every export in a throwaway sandbox and run the probe; the names of the exports.

    Raises:
        InvalidComponentError: the interpreter refuses an export, or the probe fails.
        UnavailableError: no sandbox can be started.
    """
    plan = SandboxPlan(
        component=spec.name,
        wasm=component,
        abi=spec.abi,
        limits=spec.limits,
        grants=spec.grants,
        config=spec.config,
        types=types_for(spec),
    )
    sandbox = await sandboxes.start(plan, host_call=_no_host, log=log)
    try:
        exports = await sandbox.exports()
        if spec.probe.export:
            await sandbox.call(
                spec.probe.export, spec.probe.input.encode(), deadline_s=spec.probe.deadline_ms / 1000
            )
    except GuestError as error:
        raise InvalidComponentError(
            f"The component fails its own trial: {error.message}",
            hint="A probe must pass without records and peers: it is run wherever the component arrives.",
        ) from error
    finally:
        await sandbox.close()
    return exports


async def _no_host(_component: str, function: str, _payload: bytes, _context: CallContext) -> bytes:
    """Host functions have nothing behind them during a build; the guest is told so and goes on."""
    refused: EdgehostError = UnavailableError(f"'{function}' has no host while a component is built.")
    raise refused
