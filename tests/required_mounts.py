"""Mounts that tests need, in a namespace of their own: what only the kernel can give is skipped with its reason."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.required_tools import require_tool

_SMALL_DISK = "mount -t tmpfs tmpfs /mnt"
_CARD = 'set -e; truncate -s 4M "$0"; mkfs.ext4 -q -O ^has_journal "$0"; mount -o loop "$0" /mnt; mount -o remount,abort /mnt'


def require_mounts() -> None:
    """Skip where this user may not mount a file system, in a namespace that ends with its process."""
    if os.geteuid():
        pytest.skip("only root mounts a disk")
    problem = _refused(_SMALL_DISK)
    if problem:
        pytest.skip(f"no disk can be mounted here: {problem}")


def require_card(folder: Path) -> None:
    """Skip where a file cannot be mounted as a disk that fails; a failure in CI, unless the kernel has no loop devices."""
    require_mounts()
    require_tool("mkfs.ext4")
    problem = _refused(_CARD, str(folder / "probe.img"))
    if not problem:
        return
    if os.environ.get("CI") and _has_loop_devices():
        pytest.fail(f"no file can be mounted as a disk here: {problem}")
    pytest.skip(f"no file can be mounted as a disk here: {problem}")


def _refused(script: str, *arguments: str) -> str:
    probe = [require_tool("unshare"), "-m", "bash", "-c", script, *arguments]
    done = subprocess.run(probe, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip()[-300:] or f"exit code {done.returncode}"


def _has_loop_devices() -> bool:
    try:
        os.close(os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
