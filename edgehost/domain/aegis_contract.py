"""What a module of ``abi = "aegis"`` must export and may import, and what its specification cannot ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from edgehost.domain.aegis_convention import (
    FACTORY,
    ON_DELETE,
    ON_UPDATE,
    RUNTIME_FUNCTIONS,
    RUNTIME_GLOBAL,
    VALIDATE,
    member_types,
)
from edgehost.domain.component_spec import Abi, ComponentSpec
from edgehost.domain.errors import InvalidComponentError, InvalidSpecificationError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.wasm_outline import Extern, FunctionType, WasmOutline

AEGIS_MODULE: Final = "env"


def _typed(params: tuple[str, ...], *results: str) -> FunctionType:
    return FunctionType(params, results)


_TEXT: Final = _typed(("i32",))
#: The imports of AssemblyScript's runtime and of AEGIS.
AEGIS_FUNCTIONS: Final[dict[str, FunctionType]] = {
    "abort": _typed(("i32",) * 4),
    "seed": _typed((), "f64"),
    "trace": _typed(("i32", "i32", *("f64",) * 5)),
    "Date.now": _typed((), "f64"),
    "performance.now": _typed((), "f64"),
    "callJsFunction": _typed(("i32",), "i32"),
    **{f"console.{name}": _TEXT for name in ("debug", "log", "info", "warn", "error")},
}
#: (string[][]) -> string[][] and its shorter forms, all of which are pointers.
AEGIS_EXPORTS: Final = tuple(
    FunctionType(params, results) for params in ((), ("i32",)) for results in ((), ("i32",))
)


def looks_like_aegis(outline: WasmOutline) -> bool:
    """Whether the module brings AssemblyScript's runtime along."""
    return all(outline.function(name) is not None for name in RUNTIME_FUNCTIONS) and _has(
        outline, RUNTIME_GLOBAL, Extern.GLOBAL
    )


def require_aegis(spec: ComponentSpec, outline: WasmOutline) -> None:
    """Refuse what the convention has no words for.

    Raises:
        InvalidSpecificationError: the specification asks for it.
        InvalidComponentError: the module lacks its runtime.
    """
    if not looks_like_aegis(outline) or not _has(outline, "memory", Extern.MEMORY):
        raise InvalidComponentError(
            "The module does not export AssemblyScript's runtime, which abi 'aegis' needs.",
            hint=f"Build it with --exportRuntime; it exports {', '.join((*RUNTIME_FUNCTIONS, RUNTIME_GLOBAL))}.",
        )
    grants = spec.grants
    if grants.functions or grants.models or grants.components or grants.http_hosts or spec.config:
        raise InvalidSpecificationError(
            "grants and config: a guest of abi 'aegis' has no way to use them.",
            hint="Drop them, or write the guest for abi 'extism'.",
        )
    for path, found, wanted in _without_words(spec.model) if spec.model is not None else ():
        known = f"'{wanted}' only" if wanted else "nothing of the kind"
        raise InvalidSpecificationError(
            f"{path}: is '{found}'; abi 'aegis' knows {known}.",
            hint="Drop it, or write the guest for abi 'extism'.",
        )


def types_for(spec: ComponentSpec) -> Mapping[str, str]:
    """What the sandbox must know of the schema: the types of members, for the convention has strings only."""
    return member_types(spec.model.schema) if spec.abi is Abi.AEGIS and spec.model is not None else {}


def _without_words(model: ModelSpec) -> Iterator[tuple[str, str, str]]:
    hooks = (
        ("factory", model.factory, FACTORY),
        ("validate", model.validate, VALIDATE),
        ("on_update", model.on_update, ON_UPDATE),
        ("on_delete", model.on_delete, ON_DELETE),
    )
    for key, found, wanted in hooks:
        if found not in {"", wanted}:
            yield f"model.{key}", found, wanted
    breakers = ((f"ports.{name}.breaker", port.breaker) for name, port in model.ports.items())
    without = [(path, rule.fallback) for path, rules in breakers for rule in rules.values()]
    without += [(f"relations.{name}.export", each.export) for name, each in model.relations.items()]
    without += [
        (f"properties.{name}", each.computed or each.updated) for name, each in model.properties.items()
    ]
    without += [("routes", each.export) for each in model.routes]
    without += [("serializers", each.export) for each in model.serializers]
    without += [("migrate", model.migrate), ("dependencies", ", ".join(model.dependencies))]
    yield from ((f"model.{path}", found, "") for path, found in without if found)


def _has(outline: WasmOutline, name: str, extern: Extern) -> bool:
    return any(export.name == name and export.extern is extern for export in outline.exports)
