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


def require_private(names: Iterable[str]) -> list[str]:
    """These names, if each is of a key that can sign.

    Raises:
        UsageError: one is a public key.
    """
    for name in names:
        if _path(name).suffix == PUBLIC_SUFFIX:
            raise UsageError(f"{name} cannot sign; give {Path(name).with_suffix(PRIVATE_SUFFIX)}")
    return list(names)


def key_names(names: Iterable[str]) -> dict[str, str]:
    """The files as they were named, by key id; those whose public half is not beside them are left out."""
    found: dict[str, str] = {}
    for name in names:
        public_file = _path(name).with_suffix(PUBLIC_SUFFIX)
        if public_file.is_file():
            found[load_public_key(public_file).keyid] = name
    return found


def _path(name: str) -> Path:
    path = Path(name).expanduser()
    if path.suffix not in {PRIVATE_SUFFIX, PUBLIC_SUFFIX}:
        raise UsageError(f"'{name}' is no key file: they end in {PRIVATE_SUFFIX} or {PUBLIC_SUFFIX}")
    return path
