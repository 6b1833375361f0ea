"""An operator's own program as the authority (step, certbot, lego, a script): a CertificateAuthority.

It gets the request as PEM on its standard input and answers with certificates as PEM on its standard output; status 75
(EX_TEMPFAIL) means that the same request is to be sent again later. There is no shell. Of the host's environment it
sees what programs need to run, and not what else may be in there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.domain.redaction import Redactor
from edgehost.ports.certificate_authority import PairPaths, RequestPendingError, SigningRequest
from remotes.owned_process import owned_process, signal_group

#: A chain of large RSA certificates has about 10 KiB.
ANSWER_MOST_BYTES: Final = 128 * 1024
_SAID_MOST_BYTES: Final = 16 * 1024
_SHOWN_CHARACTERS: Final = 300
_READ_BYTES: Final = 8192
#: sysexits.h: "temporary failure; the user is invited to retry".
_TEMPFAIL: Final = 75
_PENDING_S: Final = 3600.0
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ExecAuthority:
    """Meets the CertificateAuthority port."""

    def __init__(self, command: Sequence[str], *, timeout_s: float) -> None:
        self._command = tuple(command)
        self._timeout_s = timeout_s

    async def look(self, current: PairPaths | None) -> str:
        """Whether the program is there; it is not run, since nobody knows what it would do."""
        program = self._program()
        how = "has one that holds" if current is not None else "has none that holds"
        return f"{program} would be run with the request on its standard input; the host {how}"

    async def sign(self, request: SigningRequest) -> bytes:
        """What the program answers."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                owned_process(
                    (self._program(), *self._command[1:]),
                    environment=_environment(request.current),
                    stdin=PIPE,
                    folder="/",
                ) as process,
            ):
                output, said = await _talk(process, request.pem)
                status = await process.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{self._name} has not come to an end within {self._timeout_s:g} s.",
                hint="Try it by hand, or give it more time by timeout_s.",
            ) from None
        except OSError as problem:
            raise UnavailableError(f"{self._name} cannot be run: {problem.strerror}.") from None
        if status == _TEMPFAIL:
            raise RequestPendingError(
                f"{self._name} says that the request has to wait{_shown(said)}", retry_after_s=_PENDING_S
            )
        if status != 0:
            raise UnavailableError(
                f"{self._name} failed with status {status}{_shown(said)}", hint="Try it by hand."
            )
        if b"-----BEGIN CERTIFICATE-----" not in output:
            raise RefusedError(
                f"{self._name} answers without a certificate{_shown(said)}",
                hint="It must write PEM ('-----BEGIN CERTIFICATE-----') to its standard output.",
            )
        return output

    async def authorities(self) -> bytes:
        """A program hands out none: what lies between comes with its answer."""
        return b""

    @property
    def _name(self) -> str:
        # The arguments may hold a secret, although they should not.
        return self._command[0][:_SHOWN_CHARACTERS]

    def _program(self) -> str:
        path = shutil.which(self._command[0])
        if path is None:
            raise RefusedError(
                f"There is no program {self._name!r} that this user may run.",
                hint="Give its whole path in command, and make it executable.",
            )
        return path


def _environment(current: PairPaths | None) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["EDGEHOST_RENEWING"] = "" if current is None else "1"
    if current is not None:
        environment["EDGEHOST_CERT_FILE"] = current.certificate
        environment["EDGEHOST_KEY_FILE"] = current.key
    return environment


async def _talk(process: Process, request: bytes) -> tuple[bytes, bytes]:
    """Everything that it writes, the errors cut at a bound.

    Raises:
        RefusedError: the output is beyond its bound.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_tell(process, request), name="edgehost.certificate.stdin")
        said = group.create_task(_heard(process.stderr, _SAID_MOST_BYTES), name="edgehost.certificate.stderr")
        output = group.create_task(
            _heard(process.stdout, ANSWER_MOST_BYTES + 1, process), name="edgehost.certificate.stdout"
        )
    if len(output.result()) > ANSWER_MOST_BYTES:
        raise RefusedError(
            f"The program answers more than {ANSWER_MOST_BYTES} bytes, which is no certificate."
        )
    return output.result(), said.result()


async def _tell(process: Process, request: bytes) -> None:
    if process.stdin is None:
        return
    with suppress(
        OSError, RuntimeError
    ):  # it need not read it; uvloop has its own error for a pipe that is closed
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()


async def _heard(stream: asyncio.StreamReader | None, most_bytes: int, stop: Process | None = None) -> bytes:
    """What comes, up to a bound; beyond it ``stop`` is ended, or the rest is read for nothing."""
    heard = bytearray()
    while stream is not None and (content := await stream.read(_READ_BYTES)):
        heard += content[: most_bytes - len(heard)]
        if len(heard) >= most_bytes and stop is not None:
            signal_group(stop, signal.SIGKILL)
            break
    return bytes(heard)


def _shown(said: bytes) -> str:
    """The last line of what it complained of, without what looks like a secret."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return "."
    printable = "".join(character for character in lines[-1] if character.isprintable())
    return f": {Redactor().text(printable)[:_SHOWN_CHARACTERS].strip().rstrip('.')}."
