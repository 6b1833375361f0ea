"""Runs one step and dies, as by SIGKILL, before its n-th file is renamed: ``dying_process.py STEP N FOLDER``.

Exit 9 is that death; exit 0 means that the step has fewer renames. With N = "full" no file may grow instead.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import StorageFullError
from remotes.keys import load_signer
from remotes.publisher import publish_release, refresh_metadata
from remotes.root_ceremony import rotate_root
from remotes.trust import CheckRequest, check_repository

NOW = 1_800_000_000.0


def check(folder: Path) -> None:
    """A host's check of the repository in the folder."""
    place = folder / "repository"

    def fetch(path: str, _most_bytes: int) -> bytes | None:
        file = place / path
        return file.read_bytes() if file.is_file() else None

    check_repository(CheckRequest("demo", folder / "trusted", place / "metadata/1.root.json", NOW), fetch)


def publish(folder: Path) -> None:
    """One more release."""
    spec = read_component_spec({"name": "telemetry", "version": "9.0.0", "kind": "adapter"})
    signers = [load_signer(folder / "online.key")]
    publish_release(folder / "repository", spec, b"nine" * 20_000, signers=signers, now=NOW)


def rotate(folder: Path) -> None:
    """New online keys, and everything signed again."""
    holders = [load_signer(folder / "root.key")]
    rotate_root(
        folder / "repository",
        online_keys=[load_signer(folder / "next.key").public_key],
        signers=holders,
        now=NOW,
    )
    refresh_metadata(folder / "repository", signers=[load_signer(folder / "next.key")], now=NOW)


def main() -> None:
    step, when, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    steps = {"check": check, "publish": publish, "rotate": rotate}
    if when == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        try:
            steps[step](folder)
        except StorageFullError:
            sys.exit(28)
    left = [int(when)]

    def die(event: str, _arguments: object) -> None:
        if event in {"os.rename", "os.remove"}:
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1

    sys.addaudithook(die)
    steps[step](folder)


if __name__ == "__main__":
    main()
