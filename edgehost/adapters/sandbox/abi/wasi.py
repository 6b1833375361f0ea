"""WASI preview 1, as little of it as compiled code needs to run: no files, no sockets, no arguments.

What a guest writes to standard output and error becomes lines of its log; everything that would open, wait or
reach out answers with an error number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from edgehost.adapters.sandbox.worker.agent_link import Agent
from edgehost.adapters.sandbox.worker.faults import GuestExit, Trap

SPACE: Final = "wasi_snapshot_preview1"
_OK, _BADF, _INVAL, _NOSYS, _SPIPE = 0, 8, 28, 52, 70  # WASI error numbers
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHARACTER_DEVICE: Final = 2
_LEVEL: Final = {_STDOUT: 2, _STDERR: 3}  # info and warning
_MOST_VECTORS: Final = 1024
_MOST_RANDOM: Final = 65_536
_LINE_BYTES: Final = 4096  # an unfinished line longer than this is passed on in pieces
_CLOCKS: Final = {0: time.CLOCK_REALTIME, 1: time.CLOCK_MONOTONIC}

#: Every other function of preview 1, with its signature: it is there, and says that it cannot.
_ABSENT: Final = {
    "fd_advise": "i(iIIi)",
    "fd_allocate": "i(iII)",
    "fd_datasync": "i(i)",
    "fd_fdstat_set_flags": "i(ii)",
    "fd_fdstat_set_rights": "i(iII)",
    "fd_filestat_get": "i(ii)",
    "fd_filestat_set_size": "i(iI)",
    "fd_filestat_set_times": "i(iIIi)",
    "fd_pread": "i(iiiIi)",
    "fd_prestat_dir_name": "i(iii)",
    "fd_prestat_get": "i(ii)",
    "fd_pwrite": "i(iiiIi)",
    "fd_readdir": "i(iiiIi)",
    "fd_renumber": "i(ii)",
    "fd_sync": "i(i)",
    "fd_tell": "i(ii)",
    "path_create_directory": "i(iii)",
    "path_filestat_get": "i(iiiii)",
    "path_filestat_set_times": "i(iiiiIIi)",
    "path_link": "i(iiiiiii)",
    "path_open": "i(iiiiiIIii)",
    "path_readlink": "i(iiiiii)",
    "path_remove_directory": "i(iii)",
    "path_rename": "i(iiiiii)",
    "path_symlink": "i(iiiii)",
    "path_unlink_file": "i(iii)",
}
_UNSUPPORTED: Final = {
    "poll_oneoff": "i(iiii)",
    "proc_raise": "i(i)",
    "sock_accept": "i(iii)",
    "sock_recv": "i(iiiiii)",
    "sock_send": "i(iiiii)",
    "sock_shutdown": "i(ii)",
}


class Wasi:
    """The functions, over the guest's memory as it is at the moment of each call."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.memory: Callable[[], memoryview] = lambda: memoryview(bytearray())
        self._unfinished = {_STDOUT: bytearray(), _STDERR: bytearray()}

    def table(self) -> dict[tuple[str, str], Any]:
        """The host functions, with their signatures."""
        functions: dict[str, tuple[str, Any]] = {
            "args_get": ("i(ii)", lambda _argv, _buffer: _OK),
            "args_sizes_get": ("i(ii)", self._no_strings),
            "environ_get": ("i(ii)", lambda _environ, _buffer: _OK),
            "environ_sizes_get": ("i(ii)", self._no_strings),
            "clock_res_get": ("i(ii)", self._clock_resolution),
            "clock_time_get": ("i(iIi)", self._clock_time),
            "fd_close": ("i(i)", lambda fd: _OK if 0 <= fd <= _STDERR else _BADF),
            "fd_fdstat_get": ("i(ii)", self._descriptor_state),
            "fd_read": ("i(iiii)", self._read),
            "fd_seek": ("i(iIii)", lambda fd, _by, _from, _out: _SPIPE if 0 <= fd <= _STDERR else _BADF),
            "fd_write": ("i(iiii)", self._write),
            "proc_exit": ("v(i)", _exit),
            "random_get": ("i(ii)", self._random),
            "sched_yield": ("i()", lambda: _OK),
        }
        functions |= {name: (signature, lambda *_: _BADF) for name, signature in _ABSENT.items()}
        functions |= {name: (signature, lambda *_: _NOSYS) for name, signature in _UNSUPPORTED.items()}
        return {(SPACE, name): entry for name, entry in functions.items()}

    def flush(self) -> None:
        """Pass on what has no line end yet; after each call."""
        for fd, held in self._unfinished.items():
            if held:
                self._agent.log(_LEVEL[fd], held.decode("utf-8", "replace"))
                held.clear()

    def _span(self, at: int, size: int) -> memoryview:
        at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
        view = self.memory()
        if at + size > view.nbytes:
            raise Trap("out of bounds memory access")
        return view[at : at + size]

    def _put(self, at: int, value: int, size: int) -> None:
        self._span(at, size)[:] = value.to_bytes(size, "little")

    def _no_strings(self, count_at: int, size_at: int) -> int:
        self._put(count_at, 0, 4)
        self._put(size_at, 0, 4)
        return _OK

    def _clock_time(self, clock: int, _precision: int, at: int) -> int:
        if clock not in _CLOCKS:
            return _INVAL
        self._put(at, time.clock_gettime_ns(_CLOCKS[clock]), 8)
        return _OK

    def _clock_resolution(self, clock: int, at: int) -> int:
        if clock not in _CLOCKS:
            return _INVAL
        self._put(at, 1000, 8)  # one microsecond: honest for every machine that runs this
        return _OK

    def _random(self, at: int, size: int) -> int:
        span = self._span(at, size)
        for start in range(0, span.nbytes, _MOST_RANDOM):
            piece = span[start : start + _MOST_RANDOM]
            piece[:] = os.urandom(piece.nbytes)
        return _OK

    def _descriptor_state(self, fd: int, at: int) -> int:
        if not 0 <= fd <= _STDERR:
            return _BADF
        rights = 1 << (1 if fd == _STDIN else 6)  # fd_read or fd_write
        self._span(at, 24)[:] = (
            bytes((_CHARACTER_DEVICE,)).ljust(8, b"\0") + rights.to_bytes(8, "little") + bytes(8)
        )
        return _OK

    def _vectors(self, at: int, count: int) -> list[memoryview]:
        if not 0 <= count <= _MOST_VECTORS:
            raise Trap("too many buffers in one write")
        words = self._span(at, count * 8).cast("I").tolist() if count else []
        return [self._span(*pair) for pair in zip(words[::2], words[1::2], strict=True)]

    def _read(self, fd: int, _vectors: int, _count: int, read_at: int) -> int:
        if fd != _STDIN:
            return _BADF
        self._put(read_at, 0, 4)  # the end of the input
        return _OK

    def _write(self, fd: int, vectors: int, count: int, written_at: int) -> int:
        held = self._unfinished.get(fd)
        if held is None:
            return _BADF
        written = 0
        for span in self._vectors(vectors, count):
            written += span.nbytes
            for start in range(0, span.nbytes, _LINE_BYTES):
                held += span[start : start + _LINE_BYTES]
                self._pass_on_lines(fd, held)
        self._put(written_at, written & 0xFFFFFFFF, 4)
        return _OK

    def _pass_on_lines(self, fd: int, held: bytearray) -> None:
        *lines, rest = held.split(b"\n")
        for line in lines:
            self._agent.log(_LEVEL[fd], line.decode("utf-8", "replace"))
        if len(rest) > _LINE_BYTES:
            self._agent.log(_LEVEL[fd], rest.decode("utf-8", "replace"))
            rest = bytearray()
        held[:] = rest


def _exit(status: int) -> NoReturn:
    raise GuestExit(status)
