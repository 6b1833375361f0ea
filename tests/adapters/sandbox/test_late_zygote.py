"""A factory with nothing to run: its zygote is started with the first sandbox."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from edgehost.adapters.sandbox import zygote_link
from edgehost.adapters.sandbox.sandbox_factory import WasmSandboxFactory, open_sandbox_factory
from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.domain.errors import UnavailableError
from tests.adapters.sandbox.guests import PLUGIN, no_host, plan_of


class Zygotes:
    """Every zygote's process that was started, and word of the newest."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.another = asyncio.Event()
        self._spawn: Any = zygote_link._spawn

    def spawn(self, control: Any, withheld: Mapping[str, str]) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self._spawn(control, withheld)
        self.processes.append(process)
        self.another.set()
        return process


@pytest.fixture
async def zygotes(monkeypatch: pytest.MonkeyPatch) -> Zygotes:
    counted = Zygotes()
    monkeypatch.setattr(zygote_link, "_spawn", counted.spawn)
    return counted


async def started(factory: WasmSandboxFactory) -> WasmSandbox:
    return await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)


async def answers(sandbox: WasmSandbox) -> bool:
    return await sandbox.call("echo", b"x", deadline_s=5) == b"x"


async def test_without_a_sandbox_there_is_no_zygote_and_every_defence_is_known(zygotes: Zygotes) -> None:
    async with open_sandbox_factory() as factory:
        known = factory.confinement()
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        assert factory.confinement() == known
        assert factory.zygote_pid == 0
        assert [process.returncode is None for process in zygotes.processes] == [False, False]


async def test_two_first_sandboxes_at_once_start_one_zygote(zygotes: Zygotes) -> None:
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(started(factory), name=f"start {number}") for number in range(2)]
        assert [await answers(task.result()) for task in both] == [True, True]
        _rehearsed, zygote = zygotes.processes
        assert factory.zygote_pid == zygote.pid


async def test_who_is_cancelled_while_the_zygote_starts_leaves_none_and_the_next_starts_another(
    zygotes: Zygotes,
) -> None:
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        zygotes.another.clear()
        first = asyncio.create_task(started(factory), name="first")
        await zygotes.another.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert factory.zygote_pid == 0
        assert zygotes.processes[-1].returncode is not None
        assert await answers(await started(factory))


async def test_a_factory_that_is_closed_while_its_zygote_starts_leaves_none(zygotes: Zygotes) -> None:
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        zygotes.another.clear()
        first = asyncio.create_task(started(factory), name="first")
        await zygotes.another.wait()
    with pytest.raises(UnavailableError):
        await first
    assert all(process.returncode is not None for process in zygotes.processes)


async def test_a_zygote_that_did_not_start_is_tried_again(
    zygotes: Zygotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/bin/false")
            with pytest.raises(UnavailableError, match="ended while it started"):
                await started(factory)
        assert factory.zygote_pid == 0
        assert await answers(await started(factory))
        assert len(zygotes.processes) == 3


@pytest.mark.parametrize("is_there", [True, False])
async def test_without_descriptors_nothing_is_started_and_once_there_are_some_it_is(
    *, is_there: bool
) -> None:
    async with open_sandbox_factory(nothing_to_run=not is_there) as factory:
        with no_more_descriptors(), pytest.raises(UnavailableError, match="Too many open files"):
            await started(factory)
        assert await answers(await started(factory))


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))  # those that are open stay
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


async def test_an_interpreter_that_is_gone_leaves_no_socket_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_sandbox_factory(nothing_to_run=True) as factory:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/nowhere/python")
            with pytest.raises(UnavailableError, match="No such file"):
                await started(factory)
        assert await answers(await started(factory))


async def test_what_does_not_start_at_all_is_told_before_anything_is_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="ended while it started"):
        async with open_sandbox_factory(nothing_to_run=True):
            pass
