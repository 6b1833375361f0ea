"""The examples in four languages: sources and committed components agree, and behave as they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.building.component_folder import read_component_folder
from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_file import padded, read_component
from edgehost.domain.errors import DeadlineExceededError, GuestTrapError
from edgehost.domain.record_schema import RecordSchema
from edgehost.domain.wasm_outline import read_outline
from edgehost.ports.sandbox import SandboxFactory, SandboxPlan
from edgehost.usecases.build_component import build_component
from tests.journeys.guest_scenes import (
    EXAMPLES,
    FOLDERS,
    READINGS,
    SCENES,
    Scene,
    checked,
    committed,
    in_extism,
    in_sandbox,
    payload_of,
)
from tests.required_tools import require_tool

TOOLS = {
    "telemetry": ("clang", "wasm-ld"),
    "telemetry-1.1.0": ("clang", "wasm-ld"),
    "telemetry-1.2.0": ("clang", "wasm-ld"),
    "sensors": ("/usr/bin/rustc",),
    "greeter": (),  # from PyPI, with the test dependencies
    "geofence": ("node", "npm"),
    "delivery": ("clang", "wasm-ld"),
    "courier": ("clang", "wasm-ld"),
    "depot": ("clang", "wasm-ld"),
    "booking": ("clang", "wasm-ld"),
}

#: Services, an adapter, and a model that leaves everything to its schema.
WITHOUT_HOOKS = {"sensors", "greeter", "courier", "depot", "booking"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples without anything that was built."""
    copy = tmp_path_factory.mktemp("guests") / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("build", "node_modules", "*.wasm"))
    return copy


def compiled(folder: Path, **environment: str) -> tuple[dict[str, Any], bytes]:
    """Run the example's own build.sh, as continuous integration does."""
    if (folder / "package-lock.json").exists():
        install(folder)
    subprocess.run(
        [folder / "build.sh"],
        check=True,
        timeout=240,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )
    return read_component_folder(folder)


def install(folder: Path) -> None:
    found = subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=False, timeout=240)
    if found.returncode and not os.environ.get("CI"):
        pytest.skip("npm cannot install the compiler here")
    assert found.returncode == 0


async def built(sandboxes: SandboxFactory, document: dict[str, Any], wasm: bytes) -> bytes:
    return await build_component(document, wasm, toolchain=WasmTools(), sandboxes=sandboxes)


async def require_same(sandboxes: SandboxFactory, folder: str, component: bytes) -> None:
    """The component is the committed one; when another compiler version made other bytes, it behaves the same."""
    known = committed(folder)
    if component == known:
        return
    ours, theirs = read_outline(component), read_outline(known)
    assert read_component(component) == read_component(known)
    assert set(ours.exports) == set(theirs.exports)
    assert {(found.module, found.name) for found in ours.imports} == {
        (found.module, found.name) for found in theirs.imports
    }
    for scene in SCENES[folder]:
        assert await in_sandbox(sandboxes, component, scene) == await in_sandbox(sandboxes, known, scene)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("folder", FOLDERS)
async def test_a_component_is_what_its_source_builds(folder: str, sources: Path) -> None:
    for tool in TOOLS[folder]:
        require_tool(tool)
    document, wasm = compiled(sources / folder)
    async with open_sandbox_factory() as sandboxes:
        await require_same(sandboxes, folder, await built(sandboxes, document, wasm))


async def test_another_optimisation_gives_other_bytes_that_behave_the_same(sources: Path) -> None:
    require_tool("clang")
    document, wasm = compiled(sources / "telemetry", TELEMETRY_FLAGS="-O1")
    async with open_sandbox_factory() as sandboxes:
        component = await built(sandboxes, document, wasm)
        assert component != committed("telemetry")
        await require_same(sandboxes, "telemetry", component)


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "telemetry-1.2.0"])
async def test_the_official_extism_host_gets_the_same_answers(folder: str) -> None:
    async with open_sandbox_factory() as sandboxes:
        for scene in SCENES[folder]:
            ours, theirs = (
                await in_sandbox(sandboxes, committed(folder), scene),
                in_extism(committed(folder), scene),
            )
            assert ours.answers == theirs.answers
            assert ours.host_calls == theirs.host_calls


async def answers(folder: str, *calls: tuple[str, Any], **scene: Any) -> list[tuple[str, Any]]:
    async with open_sandbox_factory() as sandboxes:
        outcome = await in_sandbox(sandboxes, committed(folder), Scene(calls=calls, **scene))
    return [(kind, json.loads(text) if kind == "answered" else text) for kind, text in outcome.answers]


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name not in WITHOUT_HOOKS])
async def test_what_a_model_completes_fits_its_own_schema(folder: str) -> None:
    model = read_component(committed(folder)).model
    assert model is not None
    schema = RecordSchema(model.schema)
    async with open_sandbox_factory() as sandboxes:
        outcome = await in_sandbox(sandboxes, committed(folder), SCENES[folder][0])
    function, given = SCENES[folder][0].calls[0]
    assert function == model.validate
    schema.require_valid(given["data"])
    schema.require_valid(json.loads(outcome.answers[0][1])["data"])


async def test_telemetry_completes_percentages_and_refuses_nonsense() -> None:
    notify: dict[str, Any] = {"notify": {"ok": {}}}
    first, second = await answers("telemetry", checked(READINGS), checked({}), replies=notify)
    assert first == ("answered", {"data": READINGS | {"memory_used_percent": 75.0}})
    assert second == ("refused", "memory_used_bytes and memory_total_bytes must be numbers")
    ((_, newer),) = await answers("telemetry-1.1.0", checked(READINGS), replies=notify)
    assert newer == {"data": READINGS | {"memory_used_percent": 75.0, "disk_used_percent": 33.3}}


async def test_sensors_stores_every_reading_in_its_slot() -> None:
    async with open_sandbox_factory() as sandboxes:
        outcome = await in_sandbox(sandboxes, committed("sensors"), SCENES["sensors"][0])
    assert outcome.answers[0] == ("answered", '{"saved":"slot-100"}')
    assert outcome.host_calls[:2] == [
        ("readings", {}),
        ("save", {"model": "telemetry", "id": "slot-100", "data": READINGS}),
    ]


async def test_sensors_goes_on_when_the_model_is_not_live() -> None:
    async with open_sandbox_factory() as sandboxes:
        outcome = await in_sandbox(sandboxes, committed("sensors"), SCENES["sensors"][1])
    assert outcome.answers == [("answered", '{"saved":null,"why":"not-found"}')]
    assert outcome.host_calls[1] == ("save", {"model": "telemetry", "data": READINGS | {"host": "caf\u00e9"}})
    assert outcome.log == ["the reading was not stored: not-found: no"]


async def test_greeter_greets_by_the_clock() -> None:
    for hour, words in ((4, "Good evening"), (5, "Good morning"), (12, "Good day"), (18, "Good evening")):
        now = {"now": {"ok": {"unix_s": 86_400 * 20_000 + 3600 * hour + 0.5}}}
        (answer,) = await answers("greeter", ("greet", {"name": "Ada"}), replies=now)
        assert answer == ("answered", {"greeting": f"{words}, Ada", "hour_utc": hour})


async def test_geofence_tells_the_host_once_when_a_drone_leaves() -> None:
    async with open_sandbox_factory() as sandboxes:
        outcome = await in_sandbox(sandboxes, committed("geofence"), SCENES["geofence"][0])
    inside, outside = (json.loads(text)["data"] for _, text in outcome.answers[:2])
    assert inside["inside"] is True
    assert 1890 < inside["distance_m"] < 1895
    assert outside["inside"] is False
    event = {"id": "drone-7", "distance_m": outside["distance_m"]}
    assert outcome.host_calls == [("notify", {"type": "left-the-fence", "data": event})]


async def test_the_misbehaving_release_passes_its_probe_and_then_fails() -> None:
    wasm = committed("telemetry-1.2.0")
    spec = read_component(wasm)
    probe = spec.probe.input.encode()
    _, reading = checked(READINGS)
    async with open_sandbox_factory() as sandboxes:
        for fault, failure in (("trap", GuestTrapError), ("spin", DeadlineExceededError)):
            plan = SandboxPlan(
                spec.name, wasm, spec.abi, spec.limits, spec.grants, {**spec.config, "fault": fault}
            )
            sandbox = await sandboxes.start(plan, host_call=_no_host, log=lambda *_: None)
            for _ in range(5):
                assert await sandbox.call(spec.probe.export, probe, deadline_s=2)
            for _ in range(2):
                assert await sandbox.call("validate", payload_of(reading), deadline_s=2)
            with pytest.raises(failure):
                await sandbox.call("validate", payload_of(reading), deadline_s=0.2)
            await sandbox.close()


async def test_a_padded_component_behaves_as_before() -> None:
    component = padded(committed("telemetry"), 50 * 1024)
    assert 50 * 1024 <= len(component) < 51 * 1024
    async with open_sandbox_factory() as sandboxes:
        scene = SCENES["telemetry"][0]
        assert await in_sandbox(sandboxes, component, scene) == await in_sandbox(
            sandboxes, committed("telemetry"), scene
        )


async def _no_host(*_: Any) -> bytes:
    return b"{}"
