"""An authority that is the genuine openssl command: it signs requests, packs PKCS#7, and judges what came of them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.required_tools import require_tool

_CONFIG: Final = """\
[ca]
default_ca = only
[only]
dir = {folder}
database = $dir/index.txt
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
policy = anything
copy_extensions = copy
unique_subject = no
email_in_dn = no
[anything]
commonName = optional
organizationName = optional
[host]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
[between]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
"""
_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*words: str | Path, stdin: bytes = b"") -> bytes:
    """What the command writes; its complaint when it fails."""
    done = subprocess.run(
        [require_tool("openssl"), *map(str, words)], input=stdin, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class OpensslCA:
    """One authority with its key, in a folder of its own."""

    folder: Path
    name: str = "test authority"
    issued: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "ca.cnf").write_text(_CONFIG.format(folder=self.folder))
        (self.folder / "index.txt").touch()
        if not self.cert_file.exists():
            openssl(
                *("req", "-x509", *_KEY, "-days", "36500", "-subj", f"/CN={self.name}", "-utf8"),
                *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
                *("-keyout", self.key_file, "-out", self.cert_file),
            )

    @property
    def cert_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key_file(self) -> Path:
        return self.folder / "ca.key"

    def sign(
        self,
        request: bytes,
        *,
        days: float = 90,
        begins: float = -1,
        now: float | None = None,
        kind: str = "host",
        subject: str = "",
    ) -> bytes:
        """The certificate for a PKCS#10 request, PEM; ``begins`` and ``days`` from ``now``, ``subject`` instead of its own."""
        at = datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)
        first, last = at + timedelta(days=begins), at + timedelta(days=days)
        # After 2049 openssl wants four digits of the year; it takes them always.
        dates = ("-startdate", f"{first:%Y%m%d%H%M%SZ}", "-enddate", f"{last:%Y%m%d%H%M%SZ}")
        request_file = self.folder / "request.csr"
        request_file.write_bytes(request)
        certificate = openssl(
            *("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-extensions", kind),
            *("-cert", self.cert_file, "-keyfile", self.key_file, *dates, "-in", request_file),
            *(("-subj", subject) if subject else ()),
        )
        self.issued.append(certificate)
        return certificate

    def pair(
        self, folder: Path, name: str, *, days: float = 90, begins: float = -1, now: float | None = None
    ) -> tuple[Path, Path]:
        """A certificate for a host, and its key."""
        cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
        request = openssl(
            *("req", "-new", *_KEY, "-subj", f"/CN={name}", "-keyout", key_file),
            *("-addext", f"subjectAltName=DNS:localhost,DNS:{name},IP:127.0.0.1"),
        )
        cert_file.write_bytes(self.sign(request, days=days, begins=begins, now=now))
        key_file.chmod(0o600)
        return cert_file, key_file

    def between(self, folder: Path) -> OpensslCA:
        """An authority below this one."""
        folder.mkdir(parents=True)
        key = folder / "ca.key"
        request = openssl("req", "-new", *_KEY, "-subj", "/CN=between", "-keyout", key)
        (folder / "ca.crt").write_bytes(self.sign(request, days=3650, kind="between"))
        below = OpensslCA.__new__(OpensslCA)
        below.folder, below.name, below.issued = folder, "between", []
        (folder / "ca.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        return below


def pkcs7(*certificates: bytes) -> bytes:
    """Certs-only PKCS#7, DER."""
    return openssl(
        "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER", stdin=b"".join(certificates)
    )


def verified(
    certificate: Path, anchors: Path, *, at: float | None = None, between: Path | None = None
) -> bool:
    """What ``openssl verify`` says."""
    words: list[str | Path] = ["verify", "-CAfile", anchors, "-purpose", "sslclient"]
    words += [] if at is None else ["-attime", str(int(at))]
    words += [] if between is None else ["-untrusted", between]
    done = subprocess.run(
        [require_tool("openssl"), *map(str, words), str(certificate)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


def same_key(certificate: Path, key: Path) -> bool:
    """Whether openssl finds one public key in both."""
    of_certificate = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    return of_certificate == openssl("pkey", "-in", key, "-pubout")
