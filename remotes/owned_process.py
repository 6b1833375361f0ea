"""A program of others that runs as long as the body of an ``async with``, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

_GRACE_S: Final = 3.0
#: asyncio's own bound for what is read ahead of whoever reads.
_READ_AHEAD_BYTES: Final = 64 * 1024
#: Runs in the child, which is a program of its own by then: code between fork and exec is not safe beside threads.
#: PR_SET_PDEATHSIG outlives exec; a parent that ended before it was set is seen by its number. So does what is ignored,
#: and Python ignores these two for itself.
_TIED: Final = """
import ctypes, os, signal, sys
if ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0) or os.getppid() != int(sys.argv[1]):
    sys.exit("The program that started this one is gone.")
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def tied(command: Sequence[str], parent: int | None = None) -> list[str]:
    """The command, as a child of the process ``parent`` (this one) that the kernel kills with it, SIGKILL included.

    It costs one start of Python without its packages, some 20 ms. What the program starts itself is not tied, nor is one
    that is set-user-ID. Call it from a thread that lives as long as the process, as the loop's: the kernel looks at the
    thread. Elsewhere than on Linux the command is left as it is.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TIED, str(parent or os.getpid()), *command]


@asynccontextmanager
async def owned_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: int = DEVNULL,
    stderr: int = PIPE,
    folder: str | None = None,
    grace_s: float = _GRACE_S,
) -> AsyncIterator[Process]:
    """Start it as the leader of a group of its own, its output in a pipe; there is no shell.

    At the end of the body the whole group is told to end and, ``grace_s`` later, killed: OpenOCD and Python's tools
    start others. The pipes are closed even if somebody who left the group holds their other end, so that a host that
    runs for years loses no descriptors to programs that it does not know.

    Raises:
        OSError: it cannot be started.
    """
    loop = asyncio.get_running_loop()
    # What create_subprocess_exec does, with the transport kept: asyncio.subprocess.Process has no way to close it.
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=_READ_AHEAD_BYTES, loop=loop),
        *command,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        start_new_session=True,
        cwd=folder,
        env=dict(environment),
    )
    process = Process(transport, protocol, loop)
    try:
        yield process
    finally:
        try:
            if process.returncode is None:
                await asyncio.shield(_end(process, grace_s))
        finally:
            signal_group(process, signal.SIGKILL)  # what it has left behind
            transport.close()


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send it to all of its group: that has its leader's number as long as one of its members lives."""
    with suppress(ProcessLookupError, PermissionError):  # all have ended
        os.killpg(process.pid, number)


async def _end(process: Process, grace_s: float) -> None:
    signal_group(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await process.wait()
    signal_group(process, signal.SIGKILL)
    await process.wait()
