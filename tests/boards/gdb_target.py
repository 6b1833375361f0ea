"""A machine of qemu that is halted, stepped and looked into over its gdb server (GDB manual, "Remote Protocol")."""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_ANSWER_S = 30.0
_PC = 15


class GdbTarget:
    """Halted at first. Addresses and words are 32 bits, little-endian."""

    def __init__(self, machine: str, content: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(
                        "qemu-system-arm",
                        "-M",
                        machine,
                        "-display",
                        "none",
                        "-monitor",
                        "none",
                        "-serial",
                        "none",
                    ),
                    *("-chardev", f"socket,id=gdb,fd={theirs.fileno()}", "-gdb", "chardev:gdb", "-S"),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        ours.settimeout(_ANSWER_S)
        self._rest = b""
        self._breakpoint: int | None = None
        self.is_halted = True
        self.ask("qXfer:features:read:target.xml:0,ffb")  # qemu lets only those at registers who know of them
        self.ask("?")
        self.write(0, content)  # an image that qemu loads itself would come back at every reset
        self.reset()  # it says where to begin

    def close(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait(10)

    def read(self, address: int, count: int) -> bytes:
        """Zeros where there is nothing."""
        found = b""
        with self._stopped_meanwhile():
            while len(found) < count:
                size = min(1024, count - len(found))
                answer = self.ask(f"m{address + len(found):x},{size:x}")
                found += bytes(size) if answer.startswith("E") else bytes.fromhex(answer)
        return found

    def write(self, address: int, data: bytes) -> None:
        with self._stopped_meanwhile():
            for at in range(0, len(data), 1024):
                part = data[at : at + 1024]
                self.ask(f"M{address + at:x},{len(part):x}:{part.hex()}")

    def register(self, number: int) -> int:
        with self._stopped_meanwhile():
            return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def set_register(self, number: int, value: int) -> None:
        with self._stopped_meanwhile():
            self.ask(f"P{number:x}={value.to_bytes(4, 'little').hex()}")

    def resume(self, *, until: int) -> None:
        """Go on to an address: what a guest's BKPT instruction is on silicon."""
        self._breakpoint = until
        self.ask(f"Z1,{until:x},2")
        self._send("c")
        self.is_halted = False

    def step(self) -> None:
        self.ask("s")

    def look(self) -> None:
        """Whether it has stopped meanwhile."""
        while not self.is_halted and (b"$" in self._rest or select.select([self._socket], [], [], 0.002)[0]):
            if b"$" in self._rest:
                self._stopped()
            else:  # at first only that it was understood
                self._rest += self._socket.recv(65536)

    def halt(self) -> None:
        if not self.is_halted:
            self._socket.sendall(b"\x03")
            self._stopped()

    def reset(self) -> None:
        self.halt()
        self._send("qRcmd," + b"system_reset".hex())
        while self._answer() != "OK":
            continue

    def ask(self, request: str) -> str:
        self._send(request)
        return self._answer()

    @contextmanager
    def _stopped_meanwhile(self) -> Iterator[None]:
        """A probe looks into a chip that runs; this server answers only while it stands."""
        self.look()
        until = None if self.is_halted else self._breakpoint
        self.halt()
        yield
        if until is not None and self.register(_PC) != until:
            self.resume(until=until)

    def _stopped(self) -> None:
        self._answer()
        self.is_halted = True
        if self._breakpoint is not None:
            self.ask(f"z1,{self._breakpoint:x},2")
            self._breakpoint = None

    def _send(self, request: str) -> None:
        self._socket.sendall(f"${request}#{sum(request.encode()) & 0xFF:02x}".encode())

    def _answer(self) -> str:
        while (end := self._rest.find(b"#")) < 0 or len(self._rest) < end + 3:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError
            self._rest += more
        start = self._rest.index(b"$")
        answer, self._rest = self._rest[start + 1 : end], self._rest[end + 3 :]
        self._socket.sendall(b"+")
        return answer.decode()
