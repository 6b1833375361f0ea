"""The workshop in a process that lives for as long as a renewal takes: a CertificateWorkshop.

Certificates are renewed a few times a year, and the library that makes and reads them takes 9 MB of the host's memory.
What is asked all the time, how the pair in use is, is remembered for the pair.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.adapters.certificates.workshop_calls import LINE_MOST_BYTES, line_of, read_line
from edgehost.domain.certificate_life import CertificateFacts
from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.ports.certificate_authority import Pair

_IDLE_S: Final = 20.0
#: An RSA key of 4096 bits takes a small Arm board tens of seconds.
_CALL_S: Final = 300
_MOST_REMEMBERED: Final = 64
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


@dataclass(slots=True)
class ChildWorkshop:
    """Meets the CertificateWorkshop port. One call at a time; every call may raise UnavailableError."""

    idle_s: float = _IDLE_S
    _process: subprocess.Popen[bytes] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[bytes, CertificateFacts | RefusedError] = field(default_factory=dict)

    def facts(self, pair: Pair) -> CertificateFacts:
        """What the pair says of itself; a pair that was seen before is not read again."""
        mark = hashlib.sha256(b"%d:%b%b" % (len(pair.certificate), pair.certificate, pair.key)).digest()
        known = self._known.get(mark)
        if known is None:
            try:
                known = self._asked("facts", pair)
            except RefusedError as problem:
                known = problem
            while len(self._known) >= _MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[mark] = known
        else:
            self._bury()
        if isinstance(known, RefusedError):
            raise RefusedError(known.message, hint=known.hint)
        return known

    def new_key(self, like: bytes | None) -> bytes:
        """As the port has it."""
        key: bytes = self._asked("new_key", like)
        return key

    def request(self, key: bytes, *, like: bytes | None, common_name: str) -> bytes:
        """As the port has it."""
        request: bytes = self._asked("request", key, like=like, common_name=common_name)
        return request

    def fits(self, request: bytes, key: bytes, *, like: bytes | None) -> bool:
        """As the port has it."""
        return bool(self._asked("fits", request, key, like=like))

    def paired(
        self,
        answer: bytes,
        key: bytes,
        *,
        now: float,
        is_least: bool = False,
        like: bytes | None = None,
        anchors: bytes | None,
        between: bytes = b"",
    ) -> Pair:
        """As the port has it."""
        pair: Pair = self._asked(
            "paired", answer, key, now=now, is_least=is_least, like=like, anchors=anchors, between=between
        )
        return pair

    def require_authorities(
        self, between: bytes, anchors: bytes, *, now: float, is_least: bool = False
    ) -> None:
        """As the port has it."""
        self._asked("require_authorities", between, anchors, now=now, is_least=is_least)

    def certificates_in(self, pkcs7: bytes) -> bytes:
        """As the port has it."""
        certificates: bytes = self._asked("certificates_in", pkcs7)
        return certificates

    def close(self) -> None:
        """End the process, if there is one."""
        with self._turn:
            self._end()

    def _asked(self, call: str, *positional: object, **named: object) -> Any:  # noqa: ANN401 - the caller knows
        message = line_of({"call": call, "positional": positional, "named": named})
        with self._turn:
            line = self._told(message) or self._told(message)  # it may just have gone to rest
        try:
            answer = read_line(line)
        except (ValueError, TypeError, KeyError):
            self.close()
            raise UnavailableError(
                "The process that handles certificates ended without an answer.",
                hint="Free some memory; the host tries again by itself.",
            ) from None
        if "refused" in answer:
            raise RefusedError(answer["refused"], hint=answer["hint"])
        return answer["done"]

    def _told(self, message: bytes) -> bytes:
        """The answer; empty when the process has ended."""
        process = self._running()
        if process.stdin is None or process.stdout is None:
            return b""
        try:
            process.stdin.write(message)
            process.stdin.flush()
            line = process.stdout.readline(LINE_MOST_BYTES)
        except OSError:
            line = b""
        if not line:
            self._end()
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    (
                        *(sys.executable, "-I", "-m", "edgehost.adapters.certificates.workshop_process"),
                        *(str(self.idle_s), str(_CALL_S)),
                    ),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                )
            except OSError as problem:
                raise UnavailableError(
                    f"The process that handles certificates cannot be started: {problem.strerror}.",
                    hint="Raise the limits of open files and processes, or free some memory.",
                ) from None
        return self._process

    def _bury(self) -> None:
        """A process that went to rest is not left as a zombie."""
        if self._turn.acquire(blocking=False):
            try:
                if self._process is not None and self._process.poll() is not None:
                    self._end()
            finally:
                self._turn.release()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()
