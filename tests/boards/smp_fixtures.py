"""Zephyr with MCUboot, built by others: it comes inside the source package of smpclient, fetched once and by its hash."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

VERSION = "7.3.0"
SHA256 = "86aa4bc1c621805d97f449793a4077f049aa88a98a1e916bf59423d072bd2a3b"
FOLDER = f"smpclient-{VERSION}/tests/fixtures/smp-server/"
PREFIX = "zephyr_4.4.0_smp_server_0eae053d_qemu_cortex_m0_serial."
CACHE = Path(os.environ.get("EDGEHOST_TEST_CACHE") or Path.home() / ".cache" / "edgehost-tests")


def smp_fixture(name: str) -> Path:
    """A file of the servers that smpclient tests itself with."""
    kept = CACHE / f"smpclient-{VERSION}" / name
    if not kept.exists():
        with tarfile.open(_sdist()) as archive:
            member = archive.extractfile(FOLDER + name)
            assert member is not None
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_bytes(member.read())
            part.rename(kept)
    return kept


def newer_image(image: bytes, major: int) -> bytes:
    """The same program with another version in its header, and its hash made anew; these servers check no signature."""
    header, protected, body = struct.unpack_from("<HHI", image, 8)
    changed = bytearray(image)
    changed[20] = major
    end = header + protected + body
    changed[end + 8 : end + 40] = hashlib.sha256(changed[:end]).digest()
    return bytes(changed)


def _sdist() -> Path:
    sdist = CACHE / f"smpclient-{VERSION}.tar.gz"
    if not sdist.exists():
        _download(sdist)
    if hashlib.sha256(sdist.read_bytes()).hexdigest() != SHA256:
        sdist.unlink()
        pytest.fail(f"{sdist.name} is not the file that was pinned")
    return sdist


def _download(sdist: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text(f"smpclient=={VERSION} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "smpclient"]
        done = subprocess.run(
            [*command, "--dest", folder, "--require-hashes", "-r", str(pins)],
            check=False,
            capture_output=True,
            text=True,
        )
        got = Path(folder) / sdist.name
        if done.returncode == 0 and got.exists():
            got.rename(sdist)
            return
    reason = f"smpclient's source package could not be fetched: {done.stderr[-300:]}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
