"""Who follows a repository, and who signs it, with nothing between."""

from __future__ import annotations

from pathlib import Path

from securesystemslib.signer import CryptoSigner

from remotes.trust import CheckRequest, Verdict, check_repository
from tests.remotes.workshop import Workshop


def check(shop: Workshop, folder: Path, root_file: Path | None = None) -> Verdict:
    """A host's check, without a process or transport between."""

    def fetch(path: str, _most_bytes: int) -> bytes | None:
        file = shop.folder / path
        return file.read_bytes() if file.is_file() else None

    return check_repository(CheckRequest("demo", folder, root_file or shop.root_file, shop.now), fetch)


def signers(count: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(count)]
