"""The trust check as a process of its own: ``python -m remotes.trust_process IDLE_SECONDS``.

It answers check after check on its standard input and ends when none comes for a while, or when the agent does.
It opens no connection: each file is asked of the agent.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError
from remotes.frames import ERRORS, HEADER, AgentGoneError, BrokenFrameError, Frame, packed, parsed_header
from remotes.trust import CheckRequest, Verdict, check_repository

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
#: A check takes a fraction of a second; a hostile file must not burn a core for ever.
_CPU_MOST_S: Final = 120
_FILE_MOST_BYTES: Final = 8_388_608
_FILES_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Pipes:
    """The two ends that lead to the agent."""

    incoming: int
    outgoing: int

    def next_frame(self, patience_s: float | None = None) -> tuple[Frame, bytes] | None:
        """The next message; None when the agent has closed, or says nothing for ``patience_s`` seconds."""
        if patience_s is not None and not select.select([self.incoming], [], [], patience_s)[0]:
            return None
        header = self._exactly(HEADER.size)
        if header is None:
            return None
        kind, size = parsed_header(header)
        body = self._exactly(size)
        return None if body is None else (kind, body)

    def send(self, kind: Frame, body: bytes = b"") -> None:
        """Send one message whole."""
        rest = memoryview(packed(kind, body))
        while rest:
            rest = rest[os.write(self.outgoing, rest) :]

    def fetch(self, path: str, most_bytes: int) -> bytes | None:
        """Ask the agent for a file."""
        self.send(Frame.FETCH, json.dumps({"path": path, "most_bytes": most_bytes}).encode())
        match self.next_frame():
            case (Frame.FOUND, content):
                return content
            case (Frame.MISSING, _):
                return None
            case (Frame.ERROR, body):
                raise read_error(body)
            case None:
                raise AgentGoneError("no answer to a fetch")
            case _:
                raise BrokenFrameError("another answer than a fetch has")

    def _exactly(self, size: int) -> bytes | None:
        content = bytearray()
        while len(content) < size:
            part = os.read(self.incoming, size - len(content))
            if not part:
                return None
            content += part
        return bytes(content)


def serve(pipes: Pipes, idle_s: float) -> None:
    """Answer checks until the agent closes or has nothing to check for ``idle_s`` seconds."""
    while True:
        frame = pipes.next_frame(idle_s)
        if frame is None:
            return
        kind, body = frame
        if kind is not Frame.CHECK:
            raise BrokenFrameError(f"{kind.name} where a check was due")
        try:
            verdict = check_repository(_read_request(body), pipes.fetch)
        except EdgehostError as error:
            pipes.send(Frame.ERROR, packed_error(error))
        except ConnectionError:
            raise  # the agent's end of a pipe
        except OSError as error:
            pipes.send(Frame.ERROR, packed_error(_unkept(error)))
        else:
            pipes.send(Frame.VERDICT, _packed_verdict(verdict))


def packed_error(error: EdgehostError) -> bytes:
    """The error as the body of a message."""
    return json.dumps({"code": error.code, "message": error.message, "hint": error.hint}).encode()


def read_error(body: bytes) -> EdgehostError:
    """The error in the body of a message."""
    document = json.loads(body)
    kind = ERRORS.get(document["code"], EdgehostError)
    return kind(document["message"], hint=document["hint"])


def confine() -> None:
    """Give up what a checker of signatures does not need."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_MOST_S, _CPU_MOST_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_MOST_BYTES, _FILE_MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES_MOST, _FILES_MOST))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit is an error instead
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which then closes the pipe
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _unkept(error: OSError) -> EdgehostError:
    return RemoteUnreachableError(
        f"What is trusted of it cannot be read or kept: {error.filename2 or error.filename}: {error.strerror}.",
        hint="Look at 'dmesg' for errors of the medium, and at the folder's owner and mode.",
    )


def _read_request(body: bytes) -> CheckRequest:
    document = json.loads(body)
    return CheckRequest(
        remote=document["remote"],
        folder=Path(document["folder"]),
        root_file=Path(document["root_file"]),
        now=document["now"],
    )


def _packed_verdict(verdict: Verdict) -> bytes:
    document: dict[str, Any] = asdict(verdict)
    document["timestamp"] = verdict.timestamp.hex()
    return json.dumps(document, separators=(",", ":")).encode()


def main() -> None:
    """Serve the agent on standard input and output."""
    confine()
    # A library that prints must not talk into the protocol.
    outgoing = os.dup(1)
    os.dup2(2, 1)
    with suppress(AgentGoneError, BrokenPipeError):  # its agent needs no traceback of this
        serve(Pipes(0, outgoing), idle_s=float(sys.argv[1]))


if __name__ == "__main__":
    main()
