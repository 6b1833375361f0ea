"""A program that is run leaves no process of its group and no descriptor behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from remotes.owned_process import owned_process, tied

#: More than any process number is (PID_MAX_LIMIT).
_NOBODY = 1 << 23
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
_ENVIRONMENT = {"PATH": os.environ["PATH"]}
#: A host that runs a tool; the tool says that it writes, and has one end of the pipe for as long as it lives.
_KILLED = """
import asyncio, sys, uvloop
from edgehost.adapters.boards.tool_process import run_tool
loop, alive = sys.argv[1:]
tool = ["sh", "-c", "exec 5>" + alive + "; echo writing >&5; exec sleep 600"]
factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[loop]
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(run_tool(tool, print, timeout_s=600))
"""


def _run(loop: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(work())


def _descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


async def _line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await stream.readline()).decode().strip()


@pytest.mark.parametrize("loop", LOOPS)
def test_pipes_are_closed_although_somebody_who_left_holds_them(loop: str) -> None:
    async def work() -> None:
        before = _descriptors()
        async with owned_process(
            ("sh", "-c", "setsid sh -c 'echo $$; exec sleep 600' & wait"), environment=_ENVIRONMENT
        ) as process:
            left = int(await _line(process.stdout))
        try:
            # A transport closes its pipe in the next turn of the loop, uvloop's in the one after.
            for _ in range(3):
                await asyncio.sleep(0)
            assert _descriptors() <= before
            assert process.returncode is not None
        finally:
            os.kill(left, signal.SIGKILL)

    async def warmed_up() -> None:
        async with owned_process(("true",), environment=_ENVIRONMENT) as process:
            await process.wait()  # what watches over children stays open for the next one
        await asyncio.sleep(0)
        await work()

    _run(loop, warmed_up)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_whole_group_ends_although_it_will_not(loop: str, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    stubborn = f"trap '' TERM; exec 5>{alive}; (while :; do sleep 600; done) & echo ready; wait"

    async def work() -> None:
        held = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
        try:
            async with owned_process(
                ("sh", "-c", stubborn), environment=_ENVIRONMENT, grace_s=0.05
            ) as process:
                assert await _line(process.stdout) == "ready"
            assert process.returncode == -signal.SIGKILL
            os.set_blocking(held, True)
            assert await asyncio.to_thread(os.read, held, 1) == b""  # nobody holds the other end any more
        finally:
            os.close(held)

    _run(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_has_ended_is_left_alone(loop: str) -> None:
    async def work() -> None:
        async with owned_process(("sh", "-c", "echo done; exit 3"), environment=_ENVIRONMENT) as process:
            assert await _line(process.stdout) == "done"
            assert await process.wait() == 3
        assert process.returncode == 3

    _run(loop, work)


async def test_what_cannot_be_started_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with owned_process((str(tmp_path / "nothing"),), environment=_ENVIRONMENT):
            raise AssertionError("it was started")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_tied_program_ends_with_a_parent_that_is_killed(loop: str, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    held = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, loop, str(alive)], stdin=subprocess.DEVNULL
    ) as parent:
        try:
            os.set_blocking(held, True)
            select.select([held], [], [])
            assert os.read(held, 64) == b"writing\n"
            parent.kill()
            parent.wait()
            assert os.read(held, 1) == b""  # nobody holds the other end any more
        finally:
            parent.kill()
            os.close(held)


def test_a_tied_program_whose_parent_is_gone_before_it_begins_does_not_begin() -> None:
    done = subprocess.run(
        tied(("echo", "writing"), parent=_NOBODY), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "is gone" in done.stderr


def test_a_tied_program_has_its_words_its_number_and_its_status() -> None:
    with subprocess.Popen(
        tied(("sh", "-c", 'echo $$ "$0"; exit 7', "a b")), stdout=subprocess.PIPE
    ) as process:
        told, _ = process.communicate()
    assert (told.decode(), process.returncode) == (f"{process.pid} a b\n", 7)


def test_a_tied_program_ignores_no_signal_that_it_would_not_ignore_untied() -> None:
    command = ("grep", "Sig[BI]", "/proc/self/status")
    untied, told = (
        subprocess.run(each, capture_output=True, text=True, check=True).stdout
        for each in (command, tied(command))
    )
    assert "SigIgn" in told
    assert told == untied
