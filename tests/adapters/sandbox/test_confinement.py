"""The process around a guest: what it cannot do, and what happens when a defence is missing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from edgehost.adapters.sandbox.process import confinement
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import SandboxDiedError, UnavailableError
from tests.adapters.sandbox.guests import PLUGIN, no_host, opened, plan_of, wasm

DEFENCES = {
    "unprivileged_user", "not_dumpable", "dies_with_parent", "no_new_privileges", "no_files", "resource_limits",
    "system_call_filter",
}  # fmt: skip


def text_of(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def descriptors_of(pid: int) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def status_of(pid: int) -> dict[str, str]:
    lines = text_of(pid, "status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return status_of(pid)["State"].startswith(("Z", "X"))
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_the_kernel_confirms_the_defences() -> None:
    async with opened(PLUGIN) as sandbox:
        status = status_of(sandbox.pid)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert "0\t0\t0\t0" not in status["Uid"]
        limits = text_of(sandbox.pid, "limits")
        for name in ("Max processes", "Max open files", "Max core file size", "Max file size"):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.split()[-2] == "0" or line.split()[-3] == "0"
        descriptors = descriptors_of(sandbox.pid)
        assert {d for d in descriptors if not d.startswith("socket:")} == {"/dev/null"}
        assert len(descriptors) == 2


async def test_every_defence_is_reported() -> None:
    async with open_sandbox_factory() as factory:
        assert set(factory.confinement()) == DEFENCES
        assert set(factory.confinement().values()) == {"on"}


@pytest.mark.parametrize("name", sorted(DEFENCES))
async def test_a_missing_defence_is_reported_and_warned_of(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "edgehost.sandbox"):
        async with open_sandbox_factory(withheld={name: "this kernel lacks it"}) as factory:
            sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
            assert await sandbox.call("echo", b"x", deadline_s=5) == b"x"
            assert factory.confinement()[name] == "off: this kernel lacks it"
    warnings = [record.message for record in caplog.records]
    assert f"sandboxes run WITHOUT the defence '{name}' (this kernel lacks it)" in warnings
    if name != "no_new_privileges":  # others stand on that one, and say so themselves
        assert len(warnings) == 1


async def test_the_environment_of_the_agent_is_not_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEHOST_SECRET", "not for guests")
    async with opened(PLUGIN) as sandbox:
        assert "EDGEHOST_SECRET" not in text_of(sandbox.pid, "environ")


@pytest.mark.parametrize(
    "forbidden",
    [
        "os.open('/etc/passwd', os.O_RDONLY)",
        "os.fork()",
        "socket.socket()",
        "os.kill(os.getppid(), 9)",
        "os.execv('/bin/true', ['true'])",
        "os.listdir('/')",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    ],
)
def test_a_forbidden_system_call_ends_the_process(forbidden: str) -> None:
    code = f"""
        import mmap, os, socket
        from edgehost.adapters.sandbox.process import confinement
        program = confinement.build_filter()
        states = confinement.confine(program, memory_bytes=1 << 30, parent=os.getppid(), withheld={{}})
        assert states["system_call_filter"] == "on", states
        os.write(1, b"confined")
        {forbidden}
        os.write(1, b"escaped")
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=False)
    assert ended.stdout == b"confined", ended.stderr
    assert ended.returncode == -signal.SIGSYS


@pytest.mark.parametrize("ending", [signal.SIGSYS, signal.SIGSEGV, signal.SIGKILL])
async def test_a_sandbox_that_dies_takes_nobody_along(ending: signal.Signals) -> None:
    async with open_sandbox_factory() as factory:
        one = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        other = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        spinning = asyncio.create_task(one.call("spin", b"", deadline_s=20), name="spinning")
        await asyncio.sleep(0)
        os.kill(one.pid, ending)
        with pytest.raises(SandboxDiedError) as caught:
            await spinning
        expected = {
            signal.SIGSYS: "forbidden system call",
            signal.SIGSEGV: "segmentation fault",
            signal.SIGKILL: "killed",
        }
        assert expected[ending] in str(caught.value)
        assert not one.alive
        assert await other.call("echo", b"fine", deadline_s=5) == b"fine"


async def test_closing_ends_the_process_and_leaves_no_zombie() -> None:
    async with open_sandbox_factory() as factory:
        sandbox = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        await sandbox.close()
        with pytest.raises(ProcessLookupError):
            os.kill(sandbox.pid, 0)
        await sandbox.close()


async def test_a_cancelled_call_ends_the_sandbox() -> None:
    async with opened(PLUGIN) as sandbox:
        call = asyncio.create_task(sandbox.call("spin", b"", deadline_s=20), name="call")
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not sandbox.alive
        await until(lambda: gone(sandbox.pid))


async def test_another_zygote_takes_over_from_a_killed_one(caplog: pytest.LogCaptureFixture) -> None:
    async with open_sandbox_factory() as factory:
        before = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        killed = factory.zygote_pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: not before.alive)
        await until(lambda: gone(before.pid))
        with pytest.raises(SandboxDiedError):
            await before.call("echo", b"x", deadline_s=5)
        with caplog.at_level(logging.WARNING, "edgehost.sandbox"):
            after = await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)
        assert await after.call("echo", b"x", deadline_s=5) == b"x"
        assert factory.zygote_pid not in (killed, 0)
        assert "starting another sandbox zygote" in [r.message for r in caplog.records]
        await before.close()


async def test_a_zygote_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgehost.adapters.sandbox.zygote_link._import_folders", lambda: ["/nonexistent"])
    with pytest.raises(UnavailableError, match="No module named"):
        async with open_sandbox_factory():
            pass


async def test_an_interpreter_that_does_not_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="ended while it started"):
        async with open_sandbox_factory():
            pass


async def test_a_closed_factory_starts_nothing() -> None:
    async with open_sandbox_factory() as factory:
        pass
    with pytest.raises(UnavailableError, match="closed"):
        await factory.start(plan_of(PLUGIN), host_call=no_host, log=lambda *_: None)


def start_agent(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


async def test_a_killed_agent_leaves_no_process_behind(tmp_path: Path) -> None:
    module = tmp_path / "guest.wasm"
    module.write_bytes(wasm(PLUGIN))
    agent = textwrap.dedent(
        f"""
        import asyncio, pathlib
        from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
        from edgehost.ports.sandbox import SandboxPlan

        async def main():
            async with open_sandbox_factory() as factory:
                plan = SandboxPlan("guest", pathlib.Path({str(module)!r}).read_bytes())
                boxes = [await factory.start(plan, host_call=None, log=print) for _ in range(3)]
                print(factory.zygote_pid, *(box.pid for box in boxes), flush=True)
                await boxes[0].call("spin", b"", deadline_s=60)

        asyncio.run(main())
        """
    )
    with start_agent(agent) as process:
        assert process.stdout is not None
        pids = [int(word) for word in (await asyncio.to_thread(process.stdout.readline)).split()]
        assert len(pids) == 4
        assert not any(gone(pid) for pid in pids)
        process.kill()
        await until(lambda: all(gone(pid) for pid in pids))


def test_an_impossible_defence_is_reported_and_the_rest_go_on() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            states = confinement.confine(
                b"", memory_bytes=1 << 40, parent=os.getppid(), withheld={"no_files": "x"}
            )
            good = states["system_call_filter"].startswith("off: there is no filter")
            good = good and states["no_files"] == "off: x" and states["no_new_privileges"] == "on"
            os._exit(0 if good else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
