"""The zygote: a bare interpreter with wasm3 loaded, which forks one sandbox for each request.

Run as a file, by ``python -I -S -E``, with the number of its control socket, the agent's process id, a JSON
object of defences to withhold, and the folders to import from. It ends, and its sandboxes with it, when the agent closes the socket.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Final

_LONGEST_MESSAGE: Final = 65_536
# Address space on top of the limit on linear memory: interpreter code, buffers for input and output, and what
# a single call can leak through host functions before the sandbox is replaced. Reserved, not used.
_SLACK_BYTES: Final = 96 * 1024 * 1024
# Calls a host function and grows its memory ("a"), and traps ("t"): what every sandbox does.
_REHEARSAL_MODULE: Final = bytes.fromhex(
    "0061736d01000000010d0360017e017e6000017e60000002070101680166000003030201020503010001070902016100"
    "01017400020a12020c00410140001a42ac0210000b0300000b000b046e616d65010401000166"
)

# Calls what most plug-ins call: the memory functions, input and output.
_WARM_UP_MODULE: Final = bytes.fromhex(
    "0061736d010000000121076000017e60017e017f60017e017e60017e0060027e7f0060027e7e006000017f02b0020b0f"
    "65787469736d3a686f73742f656e760c696e7075745f6f666673657400000f65787469736d3a686f73742f656e760c69"
    "6e7075745f6c656e67746800000f65787469736d3a686f73742f656e760d696e7075745f6c6f61645f753800010f6578"
    "7469736d3a686f73742f656e7605616c6c6f6300020f65787469736d3a686f73742f656e76066c656e67746800020f65"
    "787469736d3a686f73742f656e76046672656500030f65787469736d3a686f73742f656e76076c6f61645f753800010f"
    "65787469736d3a686f73742f656e760873746f72655f753800040f65787469736d3a686f73742f656e76086c6f61645f"
    "75363400020f65787469736d3a686f73742f656e760973746f72655f75363400050f65787469736d3a686f73742f656e"
    "760a6f75747075745f73657400050302010605030100010705010177000b0a37013501017e4210100321002000420010"
    "0210072000200010081009200010061a200020001004100a42011003100510001001100a41000b0040046e616d650131"
    "0b0002696f0102696c0203696c380302616c04036c656e0502667206026c380702733808036c363409037336340a026f"
    "730206010b01000170"
)
_WARM_UP_CALLS: Final = 20  # Python rewrites its code for speed after eight


class Zygote:
    """Serves one agent over one SOCK_SEQPACKET socket."""

    def __init__(self, control: socket.socket, withheld: dict[str, str]) -> None:
        self._control = control
        self._withheld = withheld
        self._filter = b""
        self._children: set[int] = set()
        self._wake, wake_writer = os.pipe()
        for fd in (self._wake, wake_writer):
            os.set_blocking(fd, False)
        self._wake_writer = wake_writer

    def run(self) -> None:
        """Rehearse, say hello, then serve until the agent goes."""
        states = self._rehearse()
        self._tell({"op": "hello", "confinement": states})
        warm_up()
        gc.freeze()  # so that a sandbox's collector never touches, and thereby copies, what it inherited
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select((control, self._wake), (), ())
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if control in ready and not self._serve_one():
                return

    def _serve_one(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, _LONGEST_MESSAGE, 1)
        if not data:
            return False
        request = json.loads(data)
        answer: dict[str, Any] = {"op": "spawned", "id": request["id"]}
        pidfds: list[int] = []
        try:
            pid = self._fork(fds[0], request["memory_bytes"])
            self._children.add(pid)
            answer["pid"] = pid
            pidfds = [os.pidfd_open(pid)] if hasattr(os, "pidfd_open") else []
        except OSError as error:
            answer["why"] = str(error)
        for fd in fds:
            os.close(fd)
        self._tell(answer, pidfds)
        for fd in pidfds:
            os.close(fd)
        return True

    def _fork(self, fd: int, memory_bytes: int) -> int:
        zygote = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self._control.detach(), self._wake, self._wake_writer):
                os.close(inherited)
            run_sandbox(fd, zygote, memory_bytes, self._filter, self._withheld)
        finally:
            os._exit(0)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            self._tell({"op": "gone", "pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], fds or [])
        except (BrokenPipeError, ConnectionResetError):
            sys.exit(0)  # the agent is gone; the kernel ends the sandboxes with this process

    def _rehearse(self) -> dict[str, str]:
        """Try everything once in a process that may die of it, and keep the filter that held."""
        told, code = _told_by_child(self._withheld)
        if not told and "system_call_filter" not in self._withheld:
            self._withheld["system_call_filter"] = (
                f"on this machine the filter ends every sandbox (status {code})"
            )
            told, code = _told_by_child(self._withheld)
        if not told:
            raise OSError(f"a sandbox ends by itself on this machine (status {code})")
        size = int.from_bytes(told[:4], "little")
        states: dict[str, str] = json.loads(told[4 : 4 + size])
        self._filter = told[4 + size :]
        for name, state in states.items():  # what cannot be had is not tried again for every sandbox
            if state != "on":
                self._withheld.setdefault(name, state.removeprefix("off: "))
        return states


def _told_by_child(withheld: dict[str, str]) -> tuple[bytes, int]:
    """What a rehearsing child had to say (nothing, when it died of it), and how it ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            _rehearse_in_child(writer, withheld)
        finally:
            os._exit(1)
    os.close(writer)
    told = b""
    while chunk := os.read(reader, _LONGEST_MESSAGE):
        told += chunk
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    return told, os.waitstatus_to_exitcode(status)


def _rehearse_in_child(writer: int, withheld: dict[str, str]) -> None:
    from edgehost.adapters.sandbox.process import confinement  # noqa: PLC0415 - the path is set in main
    from edgehost.adapters.sandbox.worker.engine import Engine  # noqa: PLC0415
    from edgehost.adapters.sandbox.worker.faults import Trap  # noqa: PLC0415

    withheld, program = dict(withheld), b""
    if "system_call_filter" not in withheld:
        try:
            program = confinement.build_filter()
        except (ImportError, OSError, RuntimeError) as error:
            withheld["system_call_filter"] = f"no filter could be built: {error}"
    room = confinement.address_space_bytes() + _SLACK_BYTES
    states = confinement.confine(program, memory_bytes=room, parent=os.getppid(), withheld=withheld)
    table = {("h", "f"): ("I(I)", lambda value: value + len(os.urandom(8)) + time.time_ns())}
    engine = Engine(_REHEARSAL_MODULE, table, memory_kib=256, stack_kib=64)
    engine.exports()
    signal.setitimer(signal.ITIMER_REAL, 60)
    engine.invoke(engine.export("a"))
    try:
        engine.invoke(engine.export("t"))
    except Trap:
        signal.setitimer(signal.ITIMER_REAL, 0)
        document = json.dumps(states).encode()
        os.write(writer, len(document).to_bytes(4, "little") + document + program)


def warm_up() -> None:
    """Load and call once right here, so that sandboxes inherit what Python and wasm3 set up on first use."""
    from edgehost.adapters.sandbox import wire  # noqa: PLC0415 - the path is set in main
    from edgehost.adapters.sandbox.process.session import run_session  # noqa: PLC0415
    from edgehost.adapters.sandbox.worker.load_plan import LoadPlan  # noqa: PLC0415

    agent_end, sandbox_end = socket.socketpair()
    with agent_end, sandbox_end:
        document = LoadPlan().to_json()
        size = len(document).to_bytes(4, "little")
        call = wire.frame(wire.CALL, wire.CALL_HEAD.pack(60.0, 1), b"w", b"[1]")
        agent_end.sendall(
            wire.frame(wire.LOAD, size, document, _WARM_UP_MODULE)
            + wire.frame(wire.EXPORTS)
            + call * _WARM_UP_CALLS
        )
        agent_end.shutdown(socket.SHUT_WR)
        run_session(sandbox_end.fileno(), {})


def run_sandbox(fd: int, zygote: int, memory_bytes: int, program: bytes, withheld: dict[str, str]) -> None:
    """The life of a forked child."""
    from edgehost.adapters.sandbox.process import confinement  # noqa: PLC0415 - the path is set in main
    from edgehost.adapters.sandbox.process.session import run_session  # noqa: PLC0415

    room = confinement.address_space_bytes() + _SLACK_BYTES + memory_bytes
    run_session(fd, confinement.confine(program, memory_bytes=room, parent=zygote, withheld=withheld))


def main(arguments: list[str]) -> None:
    """Become the zygote."""
    control = socket.socket(fileno=int(arguments[0]))
    sys.path += arguments[3:]
    try:
        from remotes.late_modules import late_module  # noqa: PLC0415

        with late_module("inspect"):  # 0.7 MB for what dataclasses ask of it: classes without a docstring
            from edgehost.adapters.sandbox.process import confinement, session  # noqa: F401, PLC0415

        confinement.die_with_parent(int(arguments[1]))
        zygote = Zygote(control, json.loads(arguments[2]))
        zygote.run()
    except (BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # noqa: BLE001 - standard error leads nowhere: the agent must hear why
        told = json.dumps({"op": "failed", "why": f"{type(error).__name__}: {error}"})
        control.send(told.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
