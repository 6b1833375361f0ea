"""The plug-in of thin-edge.io as tedge-agent calls it: a process, its output and its exit code."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.journeys.fleet import Fleet, RunningHost, telemetry


async def plugin(folder: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgehost", "-c", str(folder / "edgehost.toml"), "sm-plugin", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def started(fleet: Fleet, host: RunningHost) -> None:
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
        await host.live("telemetry", version)


async def test_components_are_listed_installed_and_removed_with_the_documented_exit_codes(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await started(fleet, host)
        assert await plugin(tmp_path, "prepare") == (0, "", "")
        assert await plugin(tmp_path, "list") == (0, "telemetry\t1.0.1\n", "")
        assert await plugin(tmp_path, "install", "telemetry", "--module-version", "1.0.0") == (0, "", "")
        assert host.live_version("telemetry") == "1.0.0"
        assert (await plugin(tmp_path, "install", "telemetry", "--module-version", "1.0.0"))[0] == 0
        code, _, err = await plugin(tmp_path, "install", "telemetry", "--module-version", "9.9.9")
        assert (code, "9.9.9" in err) == (2, True)
        assert (await plugin(tmp_path, "install", "nothing-of-this-name"))[0] == 2
        assert (await plugin(tmp_path, "remove", "telemetry", "--module-version", "1.0.1"))[
            0
        ] == 0  # another one
        assert host.live_version("telemetry") == "1.0.0"
        for _ in range(2):  # removing it twice is no error
            assert await plugin(tmp_path, "remove", "telemetry") == (0, "", "")
        assert await plugin(tmp_path, "list") == (0, "", "")
        assert (await plugin(tmp_path, "remove", "nothing-of-this-name"))[0] == 2
        assert await plugin(tmp_path, "finalize") == (0, "", "")


async def test_a_list_of_orders_is_done_line_by_line(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await started(fleet, host)
        orders = "install\tnothing-here\n  remove\ttelemetry\n\ninstall\ttelemetry\t1.0.0\n"
        code, _, err = await plugin(tmp_path, "update-list", given=orders)
        assert (code, "nothing-here" in err) == (2, True)  # one failed; the others were done
        assert host.live_version("telemetry") == "1.0.0"
        assert (await plugin(tmp_path, "update-list", given="install\ttelemetry\t1.0.1\n"))[0] == 0
        assert host.live_version("telemetry") == "1.0.1"
        assert (await plugin(tmp_path, "update-list", given="explode\ttelemetry\n"))[0] == 1


async def test_unsigned_files_wrong_words_and_an_absent_host_have_their_codes(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    (tmp_path / "x.wasm").write_bytes(telemetry("1.0.0"))
    async with fleet.host():
        code, _, err = await plugin(tmp_path, "install", "telemetry", "--file", str(tmp_path / "x.wasm"))
        assert (code, "bundle" in err) == (2, True)
        for words in ((), ("explode",), ("install",), ("list", "extra"), ("install", "a", "--nonsense")):
            assert (await plugin(tmp_path, *words))[0] == 1
    assert (await plugin(tmp_path, "list"))[0] == 3
