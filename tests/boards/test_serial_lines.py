"""Lines: what is read and written, who has them, and what is said when they cannot be had."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import serial
from serial.rfc2217 import PortManager

from edgehost.adapters.boards import socket_line
from edgehost.adapters.boards.line_holders import way_in
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.domain.errors import LineBusyError, LineLostError, NoLineError, NotFoundError, RefusedError
from edgehost.ports.device_line import LineSettings

LINES = SerialLines()


@contextmanager
def a_pty() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    try:
        yield master, path
    finally:
        with suppress(OSError):
            os.close(master)


async def test_bytes_go_both_ways_and_silence_is_empty() -> None:
    with a_pty() as (master, path):
        async with LINES.open(path, LineSettings()) as line:
            await line.write(b"ping")
            assert os.read(master, 100) == b"ping"
            assert await line.read(10, 0.01) == b""
            os.write(master, b"pong!")
            assert await line.read(4, 1) == b"pong"
            assert await line.read(4, 1) == b"!"


async def test_more_than_the_kernel_holds_is_written_as_it_is_taken() -> None:
    data = os.urandom(200_000)
    with a_pty() as (master, path):

        def take() -> bytes:
            got = b""
            while len(got) < len(data):
                got += os.read(master, 4096)
            return got

        async with LINES.open(path, LineSettings()) as line, asyncio.TaskGroup() as group:
            taken = group.create_task(asyncio.to_thread(take))
            await line.write(data)
        assert taken.result() == data


async def test_a_pty_has_no_modem_lines_and_any_speed() -> None:
    with a_pty() as (_, path):
        async with LINES.open(path, LineSettings()) as line:
            assert not await line.set_signals(dtr=True, rts=False)
            await line.set_baud(57_600)


async def test_what_came_before_can_be_forgotten() -> None:
    with a_pty() as (master, path):
        async with LINES.open(path, LineSettings()) as line:
            os.write(master, b"old")
            assert await line.read(1, 1) == b"o"
            await line.drop_input()
            assert await line.read(10, 0.01) == b""


async def test_an_unplugged_line_is_lost_while_it_is_waited_for() -> None:
    with a_pty() as (master, path):
        async with LINES.open(path, LineSettings()) as line:
            threading.Timer(0.02, os.close, [master]).start()
            with pytest.raises(LineLostError, match="is gone"):
                await line.read(1, 10)
            with pytest.raises(LineLostError):
                await line.write(b"x")


async def test_a_second_opener_is_refused_and_told_who_has_it() -> None:
    with a_pty() as (_, path):
        async with LINES.open(path, LineSettings()):
            with pytest.raises(LineBusyError, match="this program itself"):
                async with LINES.open(path, LineSettings()):
                    pass
        async with LINES.open(path, LineSettings()) as line:  # and it is free again
            await line.write(b"x")


async def test_the_program_that_has_a_line_is_named() -> None:
    with a_pty() as (_, path):
        code = f"import serial,sys; s = serial.Serial({path!r}, exclusive=True); print(1, flush=True); sys.stdin.read()"
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert await other.stdout.readline() == b"1\n"
        with pytest.raises(LineBusyError, match=rf"python.*process {other.pid}"):
            async with LINES.open(path, LineSettings()):
                pass
        assert other.stdin is not None
        other.stdin.close()
        await other.communicate()  # to its end, or the pipe stays open


async def test_what_is_not_there_or_no_line_is_said() -> None:
    for path, kind in (
        ("/dev/ttyNOPE9", NotFoundError),
        ("/dev/null", RefusedError),
        ("telnet://127.0.0.1:9", RefusedError),
        ("socket://127.0.0.1", RefusedError),
        ("socket://127.0.0.1:1", NotFoundError),
        ("rfc2217://127.0.0.1:1", NotFoundError),
    ):
        with pytest.raises(kind):
            async with LINES.open(path, LineSettings()):
                pass


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("null", "Did you mean /dev/null?"),
        ("socket://127.0.0.1:1", "socket://127.0.0.1:1: Connection refused."),
        ("socket://a..b:1", "a..b"),
        ("rfc2217://a..b:1", "a..b"),
        ("rfc2217://127.0.0.1:1", "rfc2217://127.0.0.1:1: Connection refused."),
    ],
)
async def test_why_there_is_no_line_is_said_in_words(path: str, said: str) -> None:
    with pytest.raises(NoLineError) as caught:
        async with LINES.open(path, LineSettings()):
            pass
    assert said in str(caught.value)
    assert "rrno" not in str(caught.value)


def test_a_name_that_is_not_known_is_no_unknown_error() -> None:
    problem = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert socket_line._in_words(problem) == "Name or service not known"


@pytest.mark.parametrize(
    ("group", "mode", "said"),
    [
        ("uucp", 0o660, "sudo usermod -aG uucp $USER"),
        ("uucp", 0o600, "sudo chgrp dialout"),
        ("root", 0o660, "sudo chgrp dialout"),
    ],
)
def test_nobody_is_told_to_join_a_group_that_may_not_or_that_is_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, mode: int, said: str
) -> None:
    line = tmp_path / "ttyACM0"
    line.touch(mode)
    line.chmod(mode)
    monkeypatch.setattr(Path, "group", lambda _: group)
    assert said in way_in(str(line))


async def test_a_socket_is_a_line_until_it_is_closed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(4)).upper())
        await writer.drain()
        await reader.read(1)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tcp_port = server.sockets[0].getsockname()[1]
    async with server, LINES.open(f"socket://127.0.0.1:{tcp_port}", LineSettings()) as line:
        await line.write(b"ping")
        assert await line.read(2, 5) == b"PI"
        assert await line.read(10, 5) == b"NG"
        assert await line.read(10, 0.01) == b""
        assert not await line.set_signals(dtr=True)
        await line.write(b"x")
        with pytest.raises(LineLostError):
            await line.read(1, 5)


@contextmanager
def an_rfc2217_server() -> Iterator[tuple[str, serial.Serial]]:
    """pyserial's own server side in front of its port whose output is its input."""
    port = serial.serial_for_url("loop://", timeout=0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("wb", buffering=0) as writer:
                manager = PortManager(port, writer)
                connection.settimeout(0.02)
                while not over.is_set():
                    with suppress(TimeoutError):
                        got = connection.recv(1024)
                        if not got:
                            return
                        port.write(b"".join(manager.filter(got)))
                    if waiting := port.in_waiting:
                        writer.write(b"".join(manager.escape(port.read(waiting))))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rfc2217://127.0.0.1:{listener.getsockname()[1]}", port
        finally:
            over.set()
            thread.join()
            port.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
async def test_the_port_of_another_machine_is_a_line_with_its_speed() -> None:
    with an_rfc2217_server() as (url, port):
        async with LINES.open(url, LineSettings(baud=115_200)) as line:
            await line.write(b"a\xffb")
            got = b""
            while len(got) < 3:
                got += await line.read(2, 5)
            assert got == b"a\xffb"
            await line.set_baud(57_600)
            assert port.baudrate == 57_600
            assert await line.set_signals(dtr=False, rts=True)
            assert (port.dtr, port.rts) == (False, True)
            assert await line.read(10, 0.01) == b""


async def test_the_lines_of_this_machine_are_found() -> None:
    found = await LINES.found()
    assert [line.path for line in found] == sorted(line.path for line in found)
