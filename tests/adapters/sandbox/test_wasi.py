"""The little of WASI that guests get."""

from __future__ import annotations

import time

import pytest

from edgehost.adapters.sandbox.worker.faults import Fault, Trap
from edgehost.adapters.sandbox.worker.load_plan import LoadPlan
from tests.adapters.sandbox.guests import opened
from tests.adapters.sandbox.in_process import Guest, NotedAgent

#: Every export calls the function of its name with its own arguments.
PROXY = """(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "hello\\nworld\\n\\nend")
  (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (call $args_get (local.get 0) (local.get 1)))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $args_sizes_get (local.get 0) (local.get 1)))
  (func (export "environ_get") (param i32 i32) (result i32) (call $environ_get (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32)
    (call $environ_sizes_get (local.get 0) (local.get 1)))
  (func (export "clock_time_get") (param i32 i64 i32) (result i32)
    (call $clock_time_get (local.get 0) (local.get 1) (local.get 2)))
  (func (export "clock_res_get") (param i32 i32) (result i32) (call $clock_res_get (local.get 0) (local.get 1)))
  (func (export "random_get") (param i32 i32) (result i32) (call $random_get (local.get 0) (local.get 1)))
  (func (export "fd_write") (param i32 i32 i32 i32) (result i32)
    (call $fd_write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32)
    (call $fd_read (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "fd_close") (param i32) (result i32) (call $fd_close (local.get 0)))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32)
    (call $fd_seek (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (call $fd_fdstat_get (local.get 0) (local.get 1)))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (call $fd_prestat_get (local.get 0) (local.get 1)))
  (func (export "path_open") (result i32) (call $path_open (i32.const 3) (i32.const 0) (i32.const 0)
    (i32.const 1) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
  (func (export "poll_oneoff") (result i32)
    (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)))
  (func (export "sched_yield") (result i32) (call $sched_yield)))"""

COMMAND = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00ready")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))) (call $exit (i32.const 0)))
  (func (export "fail") (result i32) (call $exit (i32.const 3)) (i32.const 0)))"""

_BADF, _INVAL, _NOSYS, _SPIPE = 8, 28, 52, 70


class Proxy:
    def __init__(self) -> None:
        self.agent = NotedAgent()
        self.guest = Guest(PROXY, LoadPlan(abi="plain"), self.agent)

    def __call__(self, name: str, *arguments: int) -> int:
        engine = self.guest.engine
        result = engine.invoke(engine.export(name), arguments)
        return int(result or 0)


@pytest.fixture
def wasi() -> Proxy:
    return Proxy()


@pytest.mark.parametrize("what", ["args", "environ"])
def test_there_are_no_arguments_and_no_environment(wasi: Proxy, what: str) -> None:
    wasi("store", 200, -1)
    wasi("store", 204, -1)
    assert wasi(f"{what}_sizes_get", 200, 204) == 0
    assert wasi("load", 200) == 0
    assert wasi(f"{what}_get", 200, 204) == 0


def test_clocks_tell_the_time(wasi: Proxy) -> None:
    assert wasi("clock_time_get", 0, 1, 200) == 0
    assert abs(wasi("load", 200) - time.time_ns()) < 5e9
    assert wasi("clock_time_get", 1, 1, 200) == 0
    assert abs(wasi("load", 200) - time.monotonic_ns()) < 5e9
    assert wasi("clock_res_get", 0, 200) == 0
    assert wasi("load", 200) == 1000
    assert wasi("clock_time_get", 9, 1, 200) == _INVAL
    assert wasi("clock_res_get", 9, 200) == _INVAL


def test_random_bytes_are_random(wasi: Proxy) -> None:
    assert wasi("random_get", 200, 8) == 0
    first = wasi("load", 200)
    assert wasi("random_get", 200, 100_000) == 0
    assert wasi("load", 200) != first


def write(wasi: Proxy, fd: int, *spans: tuple[int, int]) -> int:
    for index, (at, size) in enumerate(spans):
        wasi("store", 300 + 8 * index, at)
        wasi("store", 304 + 8 * index, size)
    return wasi("fd_write", fd, 300, len(spans), 400)


def test_what_is_written_becomes_log_lines(wasi: Proxy) -> None:
    assert write(wasi, 1, (0, 6), (6, 10)) == 0
    assert wasi("load", 400) & 0xFFFFFFFF == 16
    assert wasi.agent.lines == [("info", "hello"), ("info", "world"), ("info", "")]
    wasi.guest.wasi.flush()
    assert wasi.agent.lines[3:] == [("info", "end")]
    assert write(wasi, 2, (0, 6)) == 0
    assert wasi.agent.lines[4:] == [("warning", "hello")]
    assert write(wasi, 3, (0, 6)) == _BADF


def test_a_line_without_an_end_is_passed_on_in_pieces(wasi: Proxy) -> None:
    assert write(wasi, 1, (1000, 100_000)) == 0
    assert 1 < len(wasi.agent.lines) < 60
    assert sum(len(line) for _, line in wasi.agent.lines) > 90_000


@pytest.mark.parametrize("spans", [((131_070, 8),), ((-1, 1),), ((0, -1),)])
def test_writing_from_outside_of_the_memory_is_a_trap(
    wasi: Proxy, spans: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(Trap, match="out of bounds"):
        write(wasi, 1, *spans)


def test_too_many_buffers_are_a_trap(wasi: Proxy) -> None:
    with pytest.raises(Trap, match="too many"):
        wasi("fd_write", 1, 0, 100_000, 400)
    with pytest.raises(Trap, match="too many"):
        wasi("fd_write", 1, 0, -1, 400)
    assert wasi("fd_write", 1, 0, 0, 400) == 0


def test_standard_input_is_at_its_end(wasi: Proxy) -> None:
    wasi("store", 400, -1)
    assert wasi("fd_read", 0, 300, 1, 400) == 0
    assert wasi("load", 400) & 0xFFFFFFFF == 0
    assert wasi("fd_read", 5, 300, 1, 400) == _BADF


def test_there_are_no_files(wasi: Proxy) -> None:
    assert wasi("fd_prestat_get", 3, 400) == _BADF
    assert wasi("path_open") == _BADF
    assert wasi("fd_seek", 1, 0, 0, 400) == _SPIPE
    assert wasi("fd_seek", 7, 0, 0, 400) == _BADF
    assert wasi("fd_close", 1) == 0
    assert wasi("fd_close", 7) == _BADF
    assert wasi("fd_fdstat_get", 1, 400) == 0
    assert wasi("load", 400) == 2
    assert wasi("fd_fdstat_get", 7, 400) == _BADF


def test_nothing_waits(wasi: Proxy) -> None:
    assert wasi("poll_oneoff") == _NOSYS
    assert wasi("sched_yield") == 0


def test_a_module_without_memory_traps_instead_of_writing() -> None:
    text = """(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
      (func (export "f") (result i32) (call $r (i32.const 0) (i32.const 8))))"""
    with pytest.raises(Trap, match="out of bounds"):
        Guest(text, LoadPlan(abi="plain")).call("f")


def test_an_exit_status_is_a_refusal() -> None:
    with pytest.raises(Fault, match="returned 3"):
        Guest(COMMAND).call("fail")


async def test_a_command_runs_once_and_is_then_replaced() -> None:
    lines: list[tuple[str, str]] = []
    async with opened(COMMAND, lines=lines) as sandbox:
        assert await sandbox.call("_start", b"", deadline_s=5) == b""
        assert lines == [("info", "ready")]
        assert not sandbox.alive
