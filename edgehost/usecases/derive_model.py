"""Ask a module what model it is, when its convention has words for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.aegis_convention import MODEL_GETTERS
from edgehost.domain.aegis_model import derived_model
from edgehost.domain.component_spec import ComponentSpec, Kind, read_component_spec
from edgehost.domain.errors import GuestError, InvalidComponentError
from edgehost.domain.json_text import read_json
from edgehost.domain.wasm_outline import Extern, bound_memory, read_outline
from edgehost.ports.sandbox import CallContext, GuestLog, SandboxFactory, SandboxPlan
from edgehost.ports.toolchain import Toolchain

_DEADLINE_S: Final = 2.0  # of one getter; a real one takes microseconds


async def with_derived_model(
    document: Mapping[str, Any],
    wasm: bytes,
    *,
    toolchain: Toolchain,
    sandboxes: SandboxFactory,
    log: GuestLog,
) -> Mapping[str, Any]:
    """The document with the ``[model]`` table that the module's own getters give; others are left as they are.

    What component.toml says goes before what the module says.

    Raises:
        InvalidSpecificationError: the document is wrong.
        InvalidComponentError: a getter fails, or answers what no model is made of.
    """
    given = document.get("model", {})
    if document.get("kind") != Kind.MODEL or not isinstance(given, Mapping):
        return document
    spec = read_component_spec({**document, "model": {}})  # the author's table may lean on what is derived
    module = await toolchain.normalised(wasm)
    said = await _asked(spec, module, sandboxes, log)
    functions = {export.name for export in read_outline(module).exports if export.extern is Extern.FUNCTION}
    derived = derived_model(said, given, functions)
    for note in derived.notes:
        log(spec.name, "warning", note)
    return {**document, "model": derived.table}


async def _asked(
    spec: ComponentSpec, module: bytes, sandboxes: SandboxFactory, log: GuestLog
) -> dict[str, Any]:
    plan = SandboxPlan(
        spec.name, bound_memory(module, spec.limits.memory_kib), abi=spec.abi, limits=spec.limits
    )
    sandbox = await sandboxes.start(plan, host_call=_no_host, log=log)
    said: dict[str, Any] = {}
    try:
        exports = await sandbox.exports()
        for getter in MODEL_GETTERS:
            if getter in exports:
                said[getter] = read_json(await sandbox.call(getter, b"", deadline_s=_DEADLINE_S) or b"null")
    except GuestError as error:
        raise InvalidComponentError(
            f"The module cannot say what model it is: {error.message}",
            hint="Its getters must answer without records and peers.",
        ) from error
    finally:
        await sandbox.close()
    return said


async def _no_host(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
    return b"{}"  # the convention imports no function of the host's
