"""Key files as the command line names them: ``NAME.pub`` is a public key, ``NAME.key`` also signs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgehost.cli.passphrase import known_passphrase
from edgehost.cli.usage import UsageError
from remotes.keys import (
    PRIVATE_SUFFIX,
    PUBLIC_SUFFIX,
    PrivateKey,
    PublicKey,
    load_public_key,
    load_signer,
    needs_passphrase,
)


def public_keys(names: Iterable[str]) -> list[PublicKey]:
    """The public halves; of ``NAME.key`` it is ``NAME.pub`` beside it, so that no passphrase is needed."""
    return [load_public_key(_path(name).with_suffix(PUBLIC_SUFFIX)) for name in names]


def signers(names: Sequence[str]) -> list[PrivateKey]:
    """The keys among these that can sign."""
    found = []
    for path in dict.fromkeys(_path(name) for name in names):
        if path.suffix == PRIVATE_SUFFIX:
            passphrase = known_passphrase(path) if needs_passphrase(path) else ""
            found.append(load_signer(path, passphrase=passphrase))
    return found


def _path(name: str) -> Path:
    path = Path(name).expanduser()
    if path.suffix not in {PRIVATE_SUFFIX, PUBLIC_SUFFIX}:
        raise UsageError(f"'{name}' is no key file: they end in {PRIVATE_SUFFIX} or {PUBLIC_SUFFIX}")
    return path
