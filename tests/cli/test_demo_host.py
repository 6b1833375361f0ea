"""The demo's host as a process: whoever does not get it started has nothing to end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgehost.cli.demo_host import DemoHost
from edgehost.domain.errors import UnavailableError


async def test_a_start_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "edgehost.toml").write_text('[api]\nlisten = ""\n')
    host = DemoHost(tmp_path / "edgehost.toml", tmp_path / "data" / "edgehost.sock")
    starting = asyncio.create_task(host.start("/api/nothing-here"), name="start")
    while host.process is None:
        await asyncio.sleep(0)
    process_id = host.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(UnavailableError, match="does not run"):
        _ = host.pid
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
