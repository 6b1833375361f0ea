"""The agent's side of the trust process: starts it when needed, feeds it files, reads its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError
from edgehost.domain.offered_release import DeltaOffer, OfferedRelease
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from remotes.frames import ERRORS, HEADER, BrokenFrameError, Frame, packed, parsed_header
from remotes.write_count import WRITTEN

#: (path, most bytes) -> content or None; raises EdgehostErrors.
Fetch = Callable[[str, int], Awaitable[bytes | None]]
#: What the process needs of our environment.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")

#: What a Python program takes to end, on a loaded board.
_FAREWELL_S: Final = 1.0
#: What is left of its output is read in pieces of this size, and dropped.
_REST_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class TrustedState:
    """What the last check found."""

    offers: tuple[OfferedRelease, ...]
    root_version: int
    timestamp: bytes
    expires: float
    reference: float
    documents: tuple[SignedDocument, ...] = ()
    damaged: tuple[str, ...] = ()
    written_bytes: int = 0
    expired: tuple[str, ...] = ()


class TrustChild:
    """One process at most, kept for ``idle_s`` seconds after a check. One check at a time."""

    def __init__(self, *, idle_s: float = 10.0, check_timeout_s: float = 60.0) -> None:
        self._idle_s = idle_s
        self._check_timeout_s = check_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def check(
        self, *, remote: str, folder: Path, root_file: Path, now: float, fetch: Fetch
    ) -> TrustedState:
        """Check the remote.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError, InvalidConfigError, StorageFullError.
        """
        request = {"remote": remote, "folder": str(folder), "root_file": str(root_file), "now": now}
        body = json.dumps(request).encode()
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._check_timeout_s):
                    # A process that was about to end for want of work may be gone when the request arrives.
                    if (state := await self._asked(body, fetch)) is None:
                        await self.close()
                        state = await self._asked(body, fetch)
            except EdgehostError:
                raise  # the conversation is over in good order, and the process can go on
            except TimeoutError:
                await self.close()
                raise _unfinished(remote, f"it took more than {self._check_timeout_s:g} s") from None
            except BrokenFrameError as error:
                await self.close()
                raise _unfinished(remote, f"{error}") from None
            except BaseException:
                await self.close()  # in the middle of a conversation
                raise
            if state is None:
                await self.close()
                raise _unfinished(remote, "its process ended")
            return state

    async def close(self) -> None:
        """End the process: it goes by itself when its input ends, and by force when it is slow."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            # Not a signal at once: to signal a process that has just ended takes its exit code from asyncio.
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        await process.wait()
        if process.stdout is not None:
            # Its transport closes at the end of the output, which may come a turn after the process's own.
            while await process.stdout.read(_REST_BYTES):
                pass

    async def _asked(self, body: bytes, fetch: Fetch) -> TrustedState | None:
        """One conversation; None when the process was gone before it said anything."""
        process = await self._running()
        spoken = False
        try:
            await _send(process, Frame.CHECK, body)
            while True:
                kind, answer = await _next_frame(process)
                spoken = True
                match kind:
                    case Frame.FETCH:
                        await self._serve_fetch(process, answer, fetch)
                    case Frame.VERDICT:
                        state = _read_state(answer)
                        WRITTEN.add(state.written_bytes)
                        return state
                    case Frame.ERROR:
                        raise _read_error(answer)
                    case _:
                        raise BrokenFrameError(f"its process says {kind.name}")
        except (ConnectionError, asyncio.IncompleteReadError):
            if spoken:
                raise BrokenFrameError("its process ended") from None
            return None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is not None:
            await self.close()
        if self._process is None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",  # neither the working directory nor PYTHON* variables can bring in other code
                    "-m",
                    "remotes.trust_process",
                    str(self._idle_s),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
                )
            except OSError as error:
                # uvloop reports some failures of the system as -1, which has no text.
                number = error.errno or 0
                why = os.strerror(number) if number > 0 else "the system refused a pipe for it"
                raise RemoteUnreachableError(
                    f"The process that checks it cannot be started: {why}.",
                    hint="Raise the limits of open files ('ulimit -n') and processes, or free some memory.",
                ) from error
        return self._process

    async def _serve_fetch(self, process: asyncio.subprocess.Process, answer: bytes, fetch: Fetch) -> None:
        document = json.loads(answer)
        try:
            content = await fetch(document["path"], document["most_bytes"])
        except EdgehostError as error:
            code = error.code if error.code in ERRORS else RemoteUnreachableError.code
            body = json.dumps({"code": code, "message": error.message, "hint": error.hint}).encode()
            await _send(process, Frame.ERROR, body)
        else:
            await _send(process, Frame.MISSING if content is None else Frame.FOUND, content or b"")


async def _send(process: asyncio.subprocess.Process, kind: Frame, body: bytes) -> None:
    if process.stdin is None:
        raise BrokenFrameError("its process has no input")
    process.stdin.write(packed(kind, body))
    await process.stdin.drain()


async def _next_frame(process: asyncio.subprocess.Process) -> tuple[Frame, bytes]:
    if process.stdout is None:
        raise BrokenFrameError("its process has no output")
    kind, size = parsed_header(await process.stdout.readexactly(HEADER.size))
    return kind, await process.stdout.readexactly(size)


def _read_state(body: bytes) -> TrustedState:
    document: dict[str, Any] = json.loads(body)
    return TrustedState(
        offers=tuple(_read_offer(offer) for offer in document["offers"]),
        documents=tuple(_read_document(each) for each in document["documents"]),
        root_version=document["root_version"],
        timestamp=bytes.fromhex(document["timestamp"]),
        expires=document["expires"],
        reference=document["reference"],
        damaged=tuple(document["damaged"]),
        written_bytes=document["written_bytes"],
        expired=tuple(document["expired"]),
    )


def _read_offer(document: dict[str, Any]) -> OfferedRelease:
    deltas = tuple(DeltaOffer(**_fields(delta)) for delta in document["deltas"])
    return OfferedRelease(**_fields(document) | {"deltas": deltas})


def _read_document(document: dict[str, Any]) -> SignedDocument:
    return SignedDocument(**_fields(document) | {"kind": DocumentKind(document["kind"])})


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}


def _read_error(body: bytes) -> EdgehostError:
    document = json.loads(body)
    return ERRORS.get(document["code"], EdgehostError)(document["message"], hint=document["hint"])


def _unfinished(remote: str, why: str) -> RemoteUnreachableError:
    return RemoteUnreachableError(
        f"The trust check of remote '{remote}' did not finish: {why}.",
        hint="What runs keeps running; the log has what the process said.",
    )
