"""The real process: configurations that do not work, crashes at boot, and the way back from both."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_host import DemoHost
from edgehost.cli.main import main
from edgehost.domain.errors import EdgehostError
from tests.journeys.fleet import Fleet, telemetry

HOST = "[host]\nconfig_trial_s = {trial}\n[api]\ntcp_port = 0\n"


@asynccontextmanager
async def running(folder: Path, text: str | None = None, *, trial: float = 0.3) -> AsyncIterator[DemoHost]:
    file = folder / "edgehost.toml"
    if text is not None or not file.exists():
        file.write_text((text or "") + HOST.format(trial=trial))
    host = DemoHost(file, folder / "data" / "edgehost.sock")
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


async def agent(host: DemoHost) -> dict[str, Any]:
    status = await host.get("/api/host/status")
    return dict(status["agent"])


async def until(host: DemoHost, **wanted: Any) -> dict[str, Any]:
    """What the host says of its own life, once it says this."""
    async with asyncio.timeout(25):
        while True:
            try:
                found = await agent(host)
            except (EdgehostError, OSError):
                found = {}
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
            await asyncio.sleep(0.02)


async def post(host: DemoHost, what: str, **body: str) -> Any:
    answer = await asyncio.to_thread(host.client.request, "POST", f"/api/host/{what}", body=body)
    return answer.json()


async def test_an_applied_configuration_runs_in_place_and_becomes_good(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await until(host, generation=1, standing="good")
        pid = host.pid
        text = HOST.format(trial=0.3) + "[keep]\nreleases = 7\n"
        answer = await post(host, "apply-config", text=text)
        assert (answer["number"], answer["standing"], answer["origin"]) == (2, "trial", "operator")
        await until(host, generation=2, standing="good")
        assert (await host.get("/api/host/status"))["pid"] == pid
        assert (await post(host, "apply-config", text=text))["number"] == 2  # it runs already
        await post(host, "revert-config")
        found = await until(host, generation=1)
        assert found["previous_end"] == "clean"


async def test_a_configuration_that_cannot_be_read_is_refused_and_nothing_happens(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        for text, message in (
            ("[hots]\n", "hots is unknown"),
            ("[host\n", "is no TOML"),
            ('[host]\ndata = "other"\n', "host.data would change"),
            ('[api]\nroot = "/x"\n', "api.root would change"),
        ):
            with pytest.raises(EdgehostError, match=message):
                await post(host, "apply-config", text=text)
        assert len((await host.get("/api/host/generations"))["generations"]) == 1


async def test_a_configuration_that_does_not_start_gives_way_to_the_last_good_one(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await until(host, standing="good")
        pid = host.pid
        bad = HOST.format(trial=0.3) + '[security]\nkey_file = "none.key"\n'
        await post(host, "apply-config", text=bad)
        found = await until(host, generation=1, previous_end="clean")
        assert (await host.get("/api/host/status"))["pid"] == pid
        rows = (await host.get("/api/host/generations"))["generations"]
        assert [each["standing"] for each in rows] == ["good", "failed"]
        assert "none.key" in rows[1]["reason"]
        assert found["last_good"] == 1
        findings = (await host.get("/api/host/doctor"))["findings"]
        assert any("Generation 2 (operator) was given up" in each["detail"] for each in findings)


async def test_a_file_that_was_broken_while_the_host_was_down_leaves_it_on_the_last_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as host:
        await until(host, standing="good")
    file = tmp_path / "edgehost.toml"
    whole = file.read_text()
    file.write_text(whole.replace("[api]", "[api"))
    async with running(tmp_path) as host:
        found = await agent(host)
        assert "is no TOML" in found["file_refused"]
        assert await asyncio.to_thread(main, ["config", "-c", str(file), "ls"]) == 0
        assert "good" in capsys.readouterr().out
        file.write_text(whole + "[keep]\nreleases = 5\n")
        os.kill(host.pid, signal.SIGHUP)
        await until(host, generation=2, standing="good", file_refused="")


async def test_what_came_from_afar_must_find_its_way_back(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    config = fleet.config(trial_s=1)
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    await host.start()
    try:
        await until(host, generation=1, standing="good")
        away = config.path.read_text().replace('path = "mirror"', 'path = "elsewhere"')
        # As the fleet's control does it: the host's own route speaks for operators at the machine.
        from edgehost.composition.life_opening import open_generations  # noqa: PLC0415 - needs the host to be down

        await host.stop()
        with open_generations(config.path) as generations:
            generations.propose(away.encode(), "mqtt:ops")
        await host.start()
        await until(host, generation=1)
        rows = (await host.get("/api/host/generations"))["generations"]
        assert rows[1]["standing"] == "failed"
        assert "No remote or broker could be reached" in rows[1]["reason"]
        await host.stop()
        with open_generations(config.path) as generations:  # the same by whoever stands before the machine
            generations.propose(away.encode() + b"\n", "operator")
        await host.start()
        await until(host, generation=3, standing="good")
    finally:
        await host.stop()


async def test_three_crashes_at_boot_lead_to_safe_mode_and_a_new_release_leads_out_of_it(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    config = fleet.config(trial_s=60)
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    for _ in range(3):
        await host.start()
        await host.kill()
    await host.start()
    try:
        found = await agent(host)
        assert "3 times in a row" in found["safe_mode"]
        assert found["crash_reports"] == 3
        assert (await host.get("/api/host/status"))["components"] == []
        assert (await host.get("/api/host/crashes"))["crashes"][0]["kind"] == "died"
        findings = (await host.get("/api/host/doctor"))["findings"]
        assert any("Components are off" in each["detail"] for each in findings)
        await fleet.publish(telemetry("1.0.1"))
        await until(host, safe_mode="")
        async with asyncio.timeout(20):
            while not any(
                each["version"] == "1.0.1" for each in (await host.get("/api/host/status"))["components"]
            ):
                await asyncio.sleep(0.02)
    finally:
        await host.stop()


@pytest.mark.parametrize("table", ["bindings.json", "sources.json"])
async def test_a_damaged_table_costs_the_components_and_not_the_way_to_the_host(
    tmp_path: Path, table: str
) -> None:
    async with running(tmp_path) as host:
        await until(host, standing="good")
    damaged = tmp_path / "data" / table
    damaged.write_bytes(b'{"telemetry')
    async with running(tmp_path) as host:
        await until(host, generation=1)
        found = await agent(host)
        assert table in found["safe_mode"]
        assert damaged.read_bytes() == b'{"telemetry'
    damaged.unlink()
    async with running(tmp_path) as host:
        await post(host, "safe-mode", state="off")
        await until(host, safe_mode="")


async def test_an_operator_enters_and_leaves_safe_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as host:
        command = ["safe-mode", "-c", str(tmp_path)]
        assert await asyncio.to_thread(main, [*command, "on"]) == 0
        await until(host, safe_mode="An operator asked for it.")
        assert await asyncio.to_thread(main, [*command, "off"]) == 0
        await until(host, safe_mode="")
        assert await asyncio.to_thread(main, [*command, "off"]) == 1
        assert "not in safe mode" in capsys.readouterr().err


async def test_a_fatal_signal_leaves_its_stacks_for_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as host:
        os.kill(host.pid, signal.SIGSEGV)
        assert host.process is not None
        await host.process.wait()
    assert main(["crashes", "-c", str(tmp_path)]) == 0
    assert "the next start writes the report" in capsys.readouterr().err
    async with running(tmp_path) as host:
        assert main(["crashes", "-c", str(tmp_path)]) == 0
        assert capsys.readouterr().err == ""
        (report,) = (await host.get("/api/host/crashes"))["crashes"]
        assert report["kind"] == "signal"
        assert "Segmentation fault" in report["reason"]
        assert "most recent call first" in report["detail"]
    assert main(["crashes", "--json", "-c", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["crashes"][0]["kind"] == "signal"
    assert main(["crashes", "1", "-c", str(tmp_path)]) == 0
    assert "most recent call first" in capsys.readouterr().out
    assert main(["crashes", "--clear", "-c", str(tmp_path)]) == 0
    assert main(["crashes", "-c", str(tmp_path)]) == 0
    assert "Crash reports forgotten: 1.\nNo crash report is kept.\n" in capsys.readouterr().out


def test_configurations_are_changed_while_the_host_is_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edgehost.toml"
    file.write_text(HOST.format(trial=1))
    command = ["config", "-c", str(file)]
    assert main([*command, "apply"]) == 0
    assert main([*command, "confirm"]) == 0
    (tmp_path / "new.toml").write_text(HOST.format(trial=2))
    assert main([*command, "apply", str(tmp_path / "new.toml")]) == 0
    capsys.readouterr()
    assert main([*command, "diff"]) == 0
    assert "+config_trial_s = 2" in capsys.readouterr().out
    assert main([*command, "show"]) == 0
    assert "config_trial_s = 2" in capsys.readouterr().out
    assert main([*command, "revert"]) == 0
    assert main([*command, "revert"]) == 1
    assert "no earlier good generation" in capsys.readouterr().err


async def test_without_a_trial_no_number_of_crashes_leads_to_safe_mode(tmp_path: Path) -> None:
    file = tmp_path / "edgehost.toml"
    file.write_text(HOST.format(trial=0))
    host = DemoHost(file, tmp_path / "data" / "edgehost.sock")
    for _ in range(4):
        await host.start()
        await host.kill()
    await host.start()
    try:
        found = await agent(host)
        assert (found["safe_mode"], found["standing"]) == ("", "good")
    finally:
        await host.stop()
