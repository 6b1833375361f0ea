"""Compiles the firmware for a board: one builder at a time, since all of them write the same files."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).resolve().parent
_OUTPUT: Final = _SOURCES.parents[1] / "build" / "firmware"
_MOST_S: Final = 600.0  # with the third-party sources still to be fetched


def built_firmware(target: str) -> Path:
    """The image for a board, or of ``posix`` or ``parsers``, compiled if it is not; not provisioned.

    Raises:
        FileNotFoundError: make is not installed.
        subprocess.CalledProcessError: it does not compile; ``stderr`` says why.
    """
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    with (_OUTPUT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back with the file, also by a builder that is killed
        subprocess.run(
            ["make", "-s", "-j2", "-C", str(_SOURCES), target, f"PYTHON={sys.executable}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_MOST_S,
            check=True,
        )
    return _OUTPUT / target / "edgehost-device"
