"""The guides of README.md and docs/component-model.md, followed word by word: their sources are compiled, built and run
as they stand.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from edgehost.domain.component_file import read_component
from edgehost.domain.errors import NotFoundError
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import LIBRARY, compiled_file

README = Path(__file__).parents[2] / "README.md"
GUIDE = README.parent / "docs/component-model.md"
FILE = re.compile(r"`([a-z]+[a-z./]+)`:\n\n```[a-z]+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG = re.compile(r"^\[services\.papers\].*?(?=^```$)", re.MULTILINE | re.DOTALL)


def written(folder: Path, guide: Path, *components: str) -> None:
    """The guide's files, as an author would write them, with their modules."""
    for path, content in FILE.findall(guide.read_text()):
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    for name in components:
        (folder / name / "edgehost.h").write_bytes((LIBRARY / "edgehost.h").read_bytes())
        (folder / name / f"{name}.wasm").write_bytes(compiled_file(folder / name / f"{name}.c"))


async def ended(host: RunningHost, visit: str) -> dict[str, Any]:
    """The history of a workflow that has come to its end."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(NotFoundError):  # it begins after the record was answered
                history: dict[str, Any] = await host.request(
                    "GET", f"/api/host/workflow-history/visit/{visit}"
                )
                if history["state"] in ("completed", "undone"):
                    return history
            await asyncio.sleep(0.02)


async def test_the_guide_gives_a_model_with_two_ports_a_relation_and_a_workflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, GUIDE, "gate", "desk", "visit")
    fleet = Fleet(tmp_path)
    for name in ("gate", "desk", "visit"):
        assert await asyncio.to_thread(main, ["build", str(tmp_path / name)]) == 0, capsys.readouterr().err
        content = (tmp_path / name / f"{name}-1.0.0.wasm").read_bytes()
        assert read_component(content).name == name
        await fleet.publish(content)
    (tmp_path / "papers").mkdir()
    config = CONFIG.search(GUIDE.read_text())
    assert config is not None
    async with fleet.host(fleet.config(more=config[0])) as host:
        for name in ("gate", "desk", "visit"):
            await host.live(name, "1.0.0")
        await host.request("POST", "/api/models/gate", {"id": "north", "open": True})
        await host.request("POST", "/api/models/visit", {"id": "ada", "guest": "Ada", "gate": "north"})
        assert (await ended(host, "ada"))["state"] == "completed"
        ada = await host.request("GET", "/api/models/visit/ada", include="at")
        assert (ada["data"]["state"], ada["data"]["badge"]) == ("admitted", "ada.txt")
        assert ada["related"]["at"]["id"] == "north"
        await host.request("PATCH", "/api/models/gate/north", {"open": False})
        await host.request("POST", "/api/models/visit", {"id": "eve", "guest": "Eve", "gate": "north"})
        assert (await ended(host, "eve"))["state"] == "undone"
        assert [paper.name for paper in (tmp_path / "papers").iterdir()] == ["ada.txt"]
        await host.request("POST", "/api/host/workflow-undo/visit/ada")
        assert (await ended(host, "ada"))["state"] == "undone"
        assert (await host.request("GET", "/api/models/visit/ada"))["data"]["state"] == "left"


async def test_the_door_of_the_readme_takes_every_name_that_its_schema_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, README, "doors")
    assert await asyncio.to_thread(main, ["build", str(tmp_path / "doors")]) == 0, capsys.readouterr().err
    fleet = Fleet(tmp_path)
    await fleet.publish((tmp_path / "doors/doors-1.0.0.wasm").read_bytes())
    async with fleet.host() as host:
        await host.live("doors", "1.0.0")
        for name in ("front", "\x01" * 100, "\U0001f6aa" * 100):
            made = await host.request("POST", "/api/models/doors", {"name": name})
            assert made["data"] == {"name": name, "open": False, "label": "v1"}
            said = await host.request("POST", f"/api/models/doors/{made['id']}/commands/describe", {})
            assert said["result"] == "closed"
