"""The official Extism host, asked the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import extism

from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.domain.errors import EdgehostError, GuestFailedError


@dataclass(frozen=True, slots=True)
class Answer:
    """An output, a refusal with its text, or a trap."""

    kind: str
    body: bytes | str = b""


def official_plugin(
    wasm: bytes, *, config: Mapping[str, str] | None = None, pages: int = 64
) -> extism.Plugin:
    return extism.Plugin(
        {"wasm": [{"data": wasm}], "memory": {"max_pages": pages}}, wasi=True, config=dict(config or {})
    )


def official_answer(plugin: extism.Plugin, function: str, payload: bytes) -> Answer:
    try:
        return Answer("output", bytes(plugin.call(function, payload)))
    except extism.Error as error:
        text = str(error.args[0])
        if "wasm backtrace" in text or "wasm trap" in text or "oom" in text or "invalid handle" in text:
            return Answer("trap")
        return Answer("refusal", text)


async def our_answer(sandbox: WasmSandbox, function: str, payload: bytes) -> Answer:
    try:
        return Answer("output", await sandbox.call(function, payload, deadline_s=10))
    except GuestFailedError as error:
        return Answer("refusal", error.message.removeprefix("guest: "))
    except EdgehostError:
        return Answer("trap")
