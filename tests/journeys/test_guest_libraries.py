"""The guest libraries say and hear the same in every language, in our sandbox and in Extism's own host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_spec import HOST_FUNCTIONS
from edgehost.usecases.build_component import build_component
from tests.journeys.guest_scenes import EXAMPLES, Scene, in_extism, in_sandbox
from tests.journeys.test_guests import TOOLS, install
from tests.required_tools import require_tool

#: The example whose build.sh knows how, and the names that it uses for source and module.
RECIPES = {"c": "telemetry", "rs": "sensors", "zig": "greeter", "ts": "geofence"}
TEXT = 'a "quoted" \\ caf\u00e9 \U0001f600\n\t\x01 end'
DOCUMENT = {
    "name": "all",
    "version": "1.0.0",
    "kind": "service",
    "service": {"export": "everything"},
    "probe": {},
    "grants": {"functions": sorted(HOST_FUNCTIONS)},
    "config": {"words": "na\u00efve"},
}


@pytest.fixture(scope="module")
def module_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """Compiles a library's test guest with the commands of the example in the same language."""
    copy = tmp_path_factory.mktemp("libraries") / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("build", "node_modules", "*.wasm"))
    done: dict[str, bytes] = {}

    def compiled(suffix: str) -> bytes:
        if suffix not in done:
            example = RECIPES[suffix]
            for tool in TOOLS[example]:
                require_tool(tool)
            shutil.copy(
                Path(__file__).parent / f"library_guests/all.{suffix}", copy / example / f"{example}.{suffix}"
            )
            if suffix == "ts":
                install(copy / example)
            subprocess.run(
                [copy / example / "build.sh"],
                check=True,
                timeout=240,
                env=os.environ | {"PYTHON": sys.executable},
            )
            done[suffix] = (copy / example / f"build/{example}.wasm").read_bytes()
        return done[suffix]

    return compiled


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("suffix", RECIPES)
async def test_every_function_of_a_library_works(suffix: str, module_of: Callable[[str], bytes]) -> None:
    replies: dict[str, Any] = {
        name: {"ok": {"said by": name, "n": [1.5, -2, None, True, {}, TEXT]}} for name in HOST_FUNCTIONS
    }
    scene = Scene(
        calls=(
            ("everything", {"more": [[]], "text": TEXT}),
            ("everything", {}),
            ("everything", {"text": "x"}),
        ),
        replies=replies,
    )
    refused = Scene(
        calls=(("refused", ""),), replies={"now": {"error": {"code": "busy", "message": "later"}}}
    )
    async with open_sandbox_factory() as sandboxes:
        component = await build_component(
            DOCUMENT, module_of(suffix), toolchain=WasmTools(), sandboxes=sandboxes
        )
        outcome = await in_sandbox(sandboxes, component, scene)
        assert (await in_sandbox(sandboxes, component, refused)).answers == [("refused", "later")]
    assert outcome.answers[1] == ("refused", "text is missing")
    assert json.loads(outcome.answers[0][1]) == {
        "var": TEXT,
        "config": "na\u00efve",
        "missing": "",
        "replies": [replies[name]["ok"] for name in HOST_FUNCTIONS],
    }
    assert outcome.host_calls[: len(HOST_FUNCTIONS)] == [(name, {"from": TEXT}) for name in HOST_FUNCTIONS]
    assert outcome.log[-4:] == ["debug", "info", "warn", "error"] or outcome.log[-3:] == [
        "info",
        "warn",
        "error",
    ]
    theirs = in_extism(component, scene)
    assert theirs.host_calls == outcome.host_calls
    assert theirs.answers == outcome.answers


@pytest.mark.parametrize(
    "file", ["c/edgehost.h", "rust/edgehost.rs", "zig/edgehost.zig", "assemblyscript/edgehost.ts"]
)
def test_a_library_offers_every_host_function(file: str) -> None:
    text = (EXAMPLES / "guest" / file).read_text()
    table = (EXAMPLES / "guest/README.md").read_text()
    for name in HOST_FUNCTIONS:
        assert re.search(rf"\b{name}\b", text)
        assert f"| `{name}` |" in table
