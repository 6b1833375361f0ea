"""A component: one ``.wasm`` file that carries its own specification in a custom section.

Reading never runs or compiles anything and answers every input with a result or a refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import InvalidComponentError, InvalidSpecificationError
from edgehost.domain.spec_document import decode_spec, encode_document
from edgehost.domain.wasm_outline import PAGE_KIB, WasmOutline, read_outline
from edgehost.domain.wasm_sections import custom_section, module, read_sections

SPEC_SECTION: Final = "edgehost.component"
PADDING_SECTION: Final = "edgehost.padding"


def read_component(wasm: bytes) -> ComponentSpec:
    """The specification that the file carries.

    Raises:
        InvalidComponentError: the file is no component of ours.
    """
    found = [section for section in read_sections(wasm) if section.name == SPEC_SECTION]
    if not found:
        raise InvalidComponentError(
            f"The file has no {SPEC_SECTION!r} section.", hint="Make a component of it with 'edgehost build'."
        )
    if len(found) > 1:
        raise InvalidComponentError(
            f"The file has {len(found)} {SPEC_SECTION!r} sections.", hint="Rebuild it with 'edgehost build'."
        )
    try:
        return decode_spec(wasm[found[0].content : found[0].end])
    except InvalidSpecificationError as error:
        raise InvalidComponentError(
            f"The embedded specification is refused: {error.message}", hint=error.hint
        ) from error


def embed_spec(wasm: bytes, document: Mapping[str, Any]) -> bytes:
    """The module with this specification (see ``spec_document``) at its end, in place of one that it may have had.

    The document is taken as it is: whoever reads the component judges it.

    Raises:
        InvalidComponentError: the bytes are no module, or the specification is too large.
    """
    kept = [section.whole() for section in read_sections(wasm) if section.name != SPEC_SECTION]
    return module([*kept, custom_section(SPEC_SECTION, encode_document(document))])


def padded(wasm: bytes, size_bytes: int) -> bytes:
    """The file brought to at least this size by a section of bytes that do not compress; for measuring transfers."""
    sections = [section for section in read_sections(wasm) if section.name != PADDING_SECTION]
    bare = module(section.whole() for section in sections)
    missing = size_bytes - len(bare)
    if missing <= 0:
        return bare
    filling = hashlib.shake_256(hashlib.sha256(bare).digest()).digest(missing)
    overhead = len(custom_section(PADDING_SECTION, filling)) - missing
    padding = custom_section(PADDING_SECTION, filling[: max(0, missing - overhead)])
    # The specification stays last, where a reader of the file's end finds it.
    body = [section.whole() for section in sections if section.name != SPEC_SECTION]
    spec = [section.whole() for section in sections if section.name == SPEC_SECTION]
    return module([*body, padding, *spec])


def component_summary(spec: ComponentSpec, wasm: bytes) -> str:
    """What the component is, needs and offers, in a few lines for people."""
    outline = read_outline(wasm)
    lines = [
        f"{spec.name} {spec.version} ({spec.kind}, abi {spec.abi}), {len(wasm)} bytes",
        f"  exports   {_listed(_exports(outline))}",
        f"  imports   {_listed(_imports(outline))}",
        f"  memory    {_memory(outline)}",
    ]
    if spec.model is not None:
        commands = f", commands {', '.join(spec.model.commands)}" if spec.model.commands else ""
        lines.append(f"  model     {spec.model.name} at /{spec.model.endpoint}{commands}")
    if spec.service is not None:
        when = f"every {spec.service.every_s:g} s" if spec.service.every_s else "when called"
        lines.append(f"  service   {spec.service.export or '-'} {when}")
    grants = spec.grants
    granted = [*grants.functions, *grants.models, *grants.components, *grants.http_hosts]
    lines.append(f"  granted   {_listed(granted)}")
    return "\n".join(lines)


def _exports(outline: WasmOutline) -> list[str]:
    return [f"{export.name}{export.type}" for export in outline.exports if export.type is not None]


def _imports(outline: WasmOutline) -> list[str]:
    names: dict[str, list[str]] = {}
    for needed in outline.imports:
        names.setdefault(needed.module, []).append(needed.name)
    return [f"{module_name} ({', '.join(sorted(found))})" for module_name, found in sorted(names.items())]


def _memory(outline: WasmOutline) -> str:
    if not outline.memories:
        return "none"
    memory = outline.memories[0]
    most = "without bound" if memory.most is None else f"at most {memory.most * PAGE_KIB} KiB"
    return f"{memory.least * PAGE_KIB} KiB, {most}"


def _listed(items: list[str]) -> str:
    return ", ".join(items) or "nothing"
