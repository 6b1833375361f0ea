"""A host that is told to end while it starts ends, also when the word came at an unlucky moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgehost import host
from edgehost.adapters.storage.folder_lock import FolderLock
from edgehost.composition.life_opening import open_generations, open_life
from edgehost.config import Config


async def test_a_cancellation_that_is_lost_while_the_host_starts_ends_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    @asynccontextmanager
    async def losing(_config: Config, _life: Any) -> AsyncIterator[Any]:
        begun.set()
        with suppress(
            asyncio.CancelledError
        ):  # as Python 3.11's wait_for, when the answer comes together with it
            await asyncio.sleep(60)

        class Started:
            stopping = asyncio.Event()

        yield Started

    monkeypatch.setattr(host, "started_host", losing)
    running = asyncio.get_running_loop().create_task(host.run_host(Config.default(tmp_path)), name="host")
    await begun.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done
    assert running.cancelled()


def test_a_host_waits_for_the_command_line_to_let_its_folder_go(tmp_path: Path) -> None:
    file = tmp_path / "edgehost.toml"
    file.write_text("")
    with open_generations(file):
        pass  # makes the folder
    lock = FolderLock(tmp_path / "data" / "config")
    timer = threading.Timer(0.2, lock.release)
    timer.start()
    with open_life(file) as life:
        assert life.generation.number == 1
    timer.join()
