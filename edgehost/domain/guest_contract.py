"""What a component's module may import and must export, by its ABI."""

from __future__ import annotations

from typing import Final

from edgehost.domain.aegis_contract import AEGIS_EXPORTS, AEGIS_FUNCTIONS, AEGIS_MODULE, require_aegis
from edgehost.domain.component_spec import HOST_FUNCTIONS, Abi, ComponentSpec
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.wasm_outline import Extern, FunctionType, ModuleImport, WasmOutline

ENV_MODULE: Final = "extism:host/env"
USER_MODULE: Final = "extism:host/user"
WASI_MODULE: Final = "wasi_snapshot_preview1"

_LETTERS: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}


def _typed(params: str, results: str = "") -> FunctionType:
    return FunctionType(tuple(_LETTERS[p] for p in params), tuple(_LETTERS[r] for r in results))


#: The Extism calls, as its plug-in kits import them.
ENV_FUNCTIONS: Final[dict[str, FunctionType]] = {
    "alloc": _typed("I", "I"),
    "free": _typed("I"),
    "length": _typed("I", "I"),
    "length_unsafe": _typed("I", "I"),
    "load_u8": _typed("I", "i"),
    "load_u64": _typed("I", "I"),
    "store_u8": _typed("Ii"),
    "store_u64": _typed("II"),
    "input_length": _typed("", "I"),
    "input_load_u8": _typed("I", "i"),
    "input_load_u64": _typed("I", "I"),
    "input_offset": _typed("", "I"),
    "output_set": _typed("II"),
    "error_set": _typed("I"),
    "error_get": _typed("", "I"),
    "reset": _typed(""),
    "config_get": _typed("I", "I"),
    "var_get": _typed("I", "I"),
    "var_set": _typed("II"),
    "http_request": _typed("II", "I"),
    "http_status_code": _typed("", "i"),
    "http_headers": _typed("", "I"),
    "log_trace": _typed("I"),
    "log_debug": _typed("I"),
    "log_info": _typed("I"),
    "log_warn": _typed("I"),
    "log_error": _typed("I"),
    "get_log_level": _typed("", "i"),
}
_USER_TYPE: Final = _typed("I", "I")

#: What an export of abi "extism" looks like; plug-ins that cannot fail return nothing.
_EXTISM_EXPORTS: Final = (_typed("", "i"), _typed(""))
#: wasm3's binding for Python takes no more.
_MOST_NUMBERS: Final = 32


def require_contract(spec: ComponentSpec, outline: WasmOutline) -> None:
    """Refuse a module that does not hold what its specification says.

    Raises:
        InvalidComponentError: an export is missing or has another type, or an import is none that hosts offer
            or that the specification is granted.
    """
    if spec.abi is Abi.AEGIS:
        require_aegis(spec, outline)
    for name in spec.exports_used():
        _require_export(name, spec.abi, outline)
    for needed in outline.imports:
        _require_import(needed, spec)


def _require_export(name: str, abi: Abi, outline: WasmOutline) -> None:
    found = outline.function(name)
    if found is None:
        offered = [export.name for export in outline.exports if export.extern is Extern.FUNCTION]
        raise InvalidComponentError(
            f"component.toml names the export {name!r}, which the module does not have.",
            hint=did_you_mean(name, offered) or "Export the function from the source.",
        )
    if abi is Abi.EXTISM and found not in _EXTISM_EXPORTS:
        raise InvalidComponentError(
            f"The export {name!r} has type {found}; abi 'extism' needs () -> i32.",
            hint="Take the input from the library, not from parameters; return 0 for success.",
        )
    if abi is Abi.AEGIS and found not in AEGIS_EXPORTS:
        raise InvalidComponentError(
            f"The export {name!r} has type {found}; abi 'aegis' needs (i32) -> i32.",
            hint="Write it as (string[][]) => string[][].",
        )
    if abi is Abi.PLAIN and max(len(found.params), len(found.results)) > _MOST_NUMBERS:
        raise InvalidComponentError(
            f"The export {name!r} has more than {_MOST_NUMBERS} parameters or results.", hint="Use fewer."
        )


def _require_import(needed: ModuleImport, spec: ComponentSpec) -> None:
    path = f"{needed.module}.{needed.name}"
    if needed.extern is not Extern.FUNCTION:
        raise InvalidComponentError(
            f"The module imports the {needed.extern} {path!r}; hosts offer functions only.",
            hint="Let the module have its own.",
        )
    known: dict[str, FunctionType] = ENV_FUNCTIONS
    match needed.module:
        case "env" if spec.abi is Abi.AEGIS:
            known = AEGIS_FUNCTIONS
        case "extism:host/env" if spec.abi is not Abi.AEGIS:
            pass
        case "extism:host/user" if spec.abi is not Abi.AEGIS:
            known = dict.fromkeys(HOST_FUNCTIONS, _USER_TYPE)
        case "wasi_snapshot_preview1":
            return  # the sandbox knows which part it serves, and is asked next
        case _:
            raise InvalidComponentError(
                f"The module imports {path!r}; no host offers that.", hint=_hint_for(needed.module, spec.abi)
            )
    if needed.name not in known:
        raise InvalidComponentError(
            f"The module imports {path!r}, which hosts do not have.", hint=did_you_mean(needed.name, known)
        )
    if needed.type != known[needed.name]:
        raise InvalidComponentError(
            f"The module imports {path!r} as {needed.type}; it is {known[needed.name]}.",
            hint="Use the guest library or an Extism plug-in kit of a current version.",
        )
    if needed.module == USER_MODULE and needed.name not in spec.grants.functions:
        raise InvalidComponentError(
            f"The module calls the host function {needed.name!r}, which it is not granted.",
            hint=f"Add '{needed.name}' to grants.functions in component.toml.",
        )


def _hint_for(module_name: str, abi: Abi) -> str:
    if abi is Abi.AEGIS:
        return f"Known: {AEGIS_MODULE}, {WASI_MODULE}."
    if module_name == "env":
        return "Functions left undefined end up in 'env': define them, or build AssemblyScript with --use abort=."
    return f"Known: {ENV_MODULE}, {USER_MODULE}, {WASI_MODULE}."
