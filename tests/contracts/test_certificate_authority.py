"""What every authority keeps to: EST at a test server, and a program, both with the genuine openssl command behind."""

from __future__ import annotations

import asyncio
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgehost.adapters.certificates.est_authority import EstAuthority
from edgehost.adapters.certificates.est_authority import EstServer as EstAddress
from edgehost.adapters.certificates.exec_authority import ExecAuthority
from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.ports.certificate_authority import (
    CertificateAuthority,
    Pair,
    PairPaths,
    RequestPendingError,
    SigningRequest,
)
from remotes.http_options import HttpOptions
from tests.adapters.certificates.est_server import EstServer, Question, answer, est_server
from tests.adapters.certificates.openssl_ca import OpensslCA, same_key, verified

KINDS = ("est", "exec")
_PROGRAM = """\
#!{python}
import os, pathlib, subprocess, sys, time
folder = pathlib.Path({folder!r})
request = sys.stdin.buffer.read()
(folder / "asked").open("ab").write(request + b"\\0")
(folder / "shown").write_text(os.environ.get("EDGEHOST_CERT_FILE", ""))
(folder / "environment").write_text("\\n".join(sorted(os.environ)))
mood = (folder / "mood").read_text()
if mood == "pending":
    sys.exit(75)
if mood == "no":
    sys.exit("the request is refused, token=abcdef")
if mood == "junk":
    print("this is no certificate")
    sys.exit(0)
if mood == "flood":
    while True:
        sys.stdout.write("-----BEGIN CERTIFICATE-----" * 1000)
if mood == "slow":
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)
(folder / "request.csr").write_bytes(request)
subprocess.run(["openssl", "x509", "-req", "-in", folder / "request.csr", "-CA", {ca!r}, "-CAkey", {key!r},
    "-CAcreateserial", "-days", "90", "-copy_extensions", "copy"], check=True, stderr=subprocess.DEVNULL)
"""


@dataclass
class Scene:
    """One authority, and what a test may do to whoever is behind it."""

    kind: str
    folder: Path
    ca: OpensslCA
    authority: CertificateAuthority
    current: PairPaths
    server: EstServer | None = None
    workshop: X509Workshop = field(default_factory=X509Workshop)

    def mood(self, mood: str) -> None:
        """What it does from now on: sign, pending, no, junk, flood, slow."""
        if self.server is None:
            (self.folder / "mood").write_text(mood)
            return
        self.server.pending = 1 if mood == "pending" else 0
        self.server.odd = {"no": _no, "junk": _junk, "flood": _flood, "slow": _slow}.get(mood)

    def asked(self) -> int:
        """How many requests came."""
        if self.server is not None:
            return sum(each.method == "POST" for each in self.server.asked)
        file = self.folder / "asked"
        return file.read_bytes().count(b"\0") if file.exists() else 0

    def request(self, *, current: PairPaths | None) -> tuple[bytes, SigningRequest]:
        """A new key, and a request with the subject of the pair that is there."""
        like = Path(self.current.certificate).read_bytes()
        key = self.workshop.new_key(None)
        return key, SigningRequest(self.workshop.request(key, like=like, common_name=""), current)


async def _no(_question: Question, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(403))


async def _junk(_question: Question, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, b"bm8gY2VydGlmaWNhdGU=", "application/pkcs7-mime"))


async def _flood(_question: Question, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"A" * 65_536 + b"\r\n")
        await writer.drain()


async def _slow(_question: Question, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def scene(kind: str, folder: Path, *, patience_s: float = 20) -> AsyncIterator[Scene]:
    ca = OpensslCA(folder / "ca")
    current = PairPaths(*map(str, ca.pair(folder, "gate")))
    if kind == "exec":
        program = folder / "issue"
        program.write_text(
            _PROGRAM.format(
                python=sys.executable, folder=str(folder), ca=str(ca.cert_file), key=str(ca.key_file)
            )
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "mood").write_text("sign")
        yield Scene(kind, folder, ca, ExecAuthority((str(program),), timeout_s=patience_s), current)
        return
    (folder / "password").write_text("correct horse\n")
    async with est_server(folder / "est", ca) as server:
        options = HttpOptions(
            ca_file=ca.cert_file,
            username="gate",
            password_file=folder / "password",
            answer_timeout_s=patience_s,
            progress_timeout_s=patience_s,
        )
        authority = EstAuthority(
            EstAddress(server.url, options), lambda: 1.0e9, X509Workshop().certificates_in
        )
        yield Scene(kind, folder, ca, authority, current, server)


@pytest.mark.parametrize("renewing", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_comes_for_the_key_and_with_subject_and_names(
    kind: str, renewing: bool, tmp_path: Path
) -> None:
    async with scene(kind, tmp_path) as it:
        key, request = it.request(current=it.current if renewing else None)
        answered = await it.authority.sign(request)
        pair = it.workshop.paired(answered, key, now=_now(it), anchors=it.ca.cert_file.read_bytes())
        (tmp_path / "new.crt").write_bytes(pair.certificate)
        (tmp_path / "new.key").write_bytes(pair.key)
        assert verified(tmp_path / "new.crt", it.ca.cert_file)
        assert same_key(tmp_path / "new.crt", tmp_path / "new.key")
        facts = it.workshop.facts(pair)
        assert (facts.subject, "DNS:gate" in facts.names) == ("CN=gate", True)
        if it.server is not None:
            last = it.server.asked[-1]
            assert last.operation == ("simplereenroll" if renewing else "simpleenroll")
            assert bool(last.subject) is renewing  # and the password goes only where no certificate vouches
            assert ("authorization" in last.headers) is not renewing
        else:
            assert (tmp_path / "shown").read_text() == (it.current.certificate if renewing else "")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_look_has_nothing_signed(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as it:
        assert await it.authority.look(it.current)
        await it.authority.authorities()
        assert it.asked() == 0
        assert len(it.ca.issued) == (2 if kind == "est" else 1)  # for the scene itself


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_has_to_wait_is_told_so_and_may_send_the_same_again(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as it:
        key, request = it.request(current=it.current)
        it.mood("pending")
        with pytest.raises(RequestPendingError) as told:
            await it.authority.sign(request)
        assert told.value.retry_after_s >= 60
        it.mood("sign")
        answered = await it.authority.sign(request)
        assert it.workshop.paired(answered, key, now=_now(it), anchors=None).key == key


@pytest.mark.parametrize(
    ("mood", "error"),
    [("no", (RefusedError, UnavailableError)), ("junk", RefusedError), ("flood", RefusedError)],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_junk_and_a_flood_are_errors_without_a_secret(
    kind: str, mood: str, error: type[Exception], tmp_path: Path
) -> None:
    async with scene(kind, tmp_path) as it:
        it.mood(mood)
        _, request = it.request(current=None)
        with pytest.raises(error) as told:
            await it.authority.sign(request)
        assert "abcdef" not in str(told.value)
        assert "correct horse" not in str(told.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_is_too_slow_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, patience_s=0.5) as it:
        it.mood("slow")
        _, request = it.request(current=None)
        with pytest.raises(UnavailableError):
            await it.authority.sign(request)


async def test_a_program_sees_of_the_environment_what_programs_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEHOST_PASSPHRASE", "secret")
    async with scene("exec", tmp_path) as it:
        _, request = it.request(current=it.current)
        await it.authority.sign(request)
        names = set((tmp_path / "environment").read_text().splitlines())
        assert "EDGEHOST_PASSPHRASE" not in names
        assert {"PATH", "EDGEHOST_CERT_FILE", "EDGEHOST_KEY_FILE"} <= names


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    authority = ExecAuthority((str(tmp_path / "nothing"), "--token", "abcdef"), timeout_s=5)
    for ask in (authority.look(None), authority.sign(SigningRequest(b"", None))):
        with pytest.raises(RefusedError, match="nothing") as told:
            await ask
        assert "abcdef" not in str(told.value)


def _now(it: Scene) -> float:
    """Within the life of what the authority has just issued."""
    pair = Pair(Path(it.current.certificate).read_bytes(), Path(it.current.key).read_bytes())
    return it.workshop.facts(pair).begins + 2 * 86_400


def test_a_program_that_ends_without_reading_its_request_is_judged_by_its_status(tmp_path: Path) -> None:
    """On the loop that a host runs on where it can: its pipes break in another way than asyncio's."""
    uvloop = pytest.importorskip("uvloop")
    program = tmp_path / "later"
    program.write_text("#!/bin/sh\nexec <&-\nexit 75\n")
    program.chmod(0o755)
    authority = ExecAuthority((str(program),), timeout_s=20)

    async def busy() -> None:
        while True:  # the loop is late, so that the program has ended before the request is written
            time.sleep(0.01)  # noqa: ASYNC251 - it is meant to hold the loop up
            await asyncio.sleep(0)

    async def asked() -> None:
        other = asyncio.create_task(busy(), name="busy")
        try:
            with pytest.raises(RequestPendingError):
                await authority.sign(SigningRequest(b"request", None))
        finally:
            other.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asked())
