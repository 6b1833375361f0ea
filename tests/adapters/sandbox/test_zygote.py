"""The zygote's own loop, run in the test's process with the agent's messages laid out beforehand."""

from __future__ import annotations

import ctypes.util
import gc
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.process import confinement, zygote
from edgehost.adapters.sandbox.worker.agent_link import AgentLink
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from tests.adapters.sandbox.guests import PLUGIN, wasm


@contextmanager
def a_zygote(withheld: dict[str, str] | None = None) -> Iterator[tuple[zygote.Zygote, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handler = signal.getsignal(signal.SIGCHLD)
    wakeup = signal.set_wakeup_fd(-1)
    with ours, theirs:
        try:
            yield zygote.Zygote(theirs, withheld or {}), ours
        finally:
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGCHLD, handler)
            gc.unfreeze()


def heard(control: socket.socket) -> dict[str, Any]:
    data, fds, _, _ = socket.recv_fds(control, 65_536, 1)
    for fd in fds:
        os.close(fd)
    message: dict[str, Any] = json.loads(data)
    return message


def test_a_zygote_greets_spawns_and_ends_with_its_agent() -> None:
    agent_end, sandbox_end = socket.socketpair()
    with a_zygote() as (subject, control), agent_end:
        document = LoadPlan().to_json()
        link = AgentLink(agent_end.fileno())
        link.send(wire.LOAD, len(document).to_bytes(4, "little"), document, wasm(PLUGIN))
        link.send(wire.CALL, wire.CALL_HEAD.pack(5.0, 4), b"echo", b"hi")
        request = json.dumps({"id": 7, "memory_bytes": 1 << 30}).encode()
        socket.send_fds(control, [request], [sandbox_end.fileno()])
        control.shutdown(socket.SHUT_WR)
        sandbox_end.close()
        subject.run()
        hello = heard(control)
        assert hello["op"] == "hello"
        assert hello["confinement"]["system_call_filter"] == "on"
        spawned = heard(control)
        assert (spawned["op"], spawned["id"]) == ("spawned", 7)
        assert link.receive()[0] == wire.LOADED
        assert link.receive() == (wire.RESULT, b"\0hi")
        os.kill(spawned["pid"], signal.SIGKILL)
        os.waitpid(spawned["pid"], 0)


def test_an_end_is_reported_with_its_reason() -> None:
    with a_zygote() as (subject, control):
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        subject._children.add(pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        subject._reap()
        assert heard(control) == {"op": "gone", "pid": pid, "code": 3}
        subject._children.add(-1)
        subject._reap()  # nobody there: no fault


def test_a_zygote_whose_agent_is_gone_ends() -> None:
    with a_zygote() as (subject, control):
        control.close()
        with pytest.raises(SystemExit):
            subject._tell({"op": "hello"})


def test_a_filter_that_kills_the_sandbox_itself_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "ALLOWED_CALLS", ("exit_group",))
    with a_zygote() as (subject, _):
        states = subject._rehearse()
        assert "the filter ends every sandbox" in states["system_call_filter"]
        assert {state for name, state in states.items() if name != "system_call_filter"} == {"on"}


def test_a_machine_without_libseccomp_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> bytes:
        raise OSError("libseccomp.so.2: cannot open shared object file")

    monkeypatch.setattr(confinement, "build_filter", missing)
    with a_zygote() as (subject, _):
        states = subject._rehearse()
        assert states["system_call_filter"].startswith("off: no filter could be built: libseccomp.so.2")


def test_a_filter_is_a_list_of_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", ctypes.util.find_library)  # put back after the test
    program = confinement.build_filter()
    assert program
    assert len(program) % 8 == 0


def test_defences_that_are_withheld_are_not_tried() -> None:
    names = ("unprivileged_user", "not_dumpable", "dies_with_parent", "no_new_privileges", "no_files",
             "resource_limits", "system_call_filter")  # fmt: skip
    states = confinement.confine(b"", memory_bytes=1, parent=0, withheld=dict.fromkeys(names, "not here"))
    assert states == dict.fromkeys(names, "off: not here")
    assert confinement.address_space_bytes() > 1 << 20
