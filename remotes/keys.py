"""Key files: Ed25519, private as PEM (encrypted when a passphrase is given), public as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from edgehost.domain.errors import ConflictError, InvalidConfigError
from remotes.durable_file import read_bounded, write_durably

#: What rooms that may not know the library call its keys.
PublicKey = SSlibKey
PrivateKey = CryptoSigner

PRIVATE_SUFFIX: Final = ".key"
PUBLIC_SUFFIX: Final = ".pub"
_FILE_MOST_BYTES: Final = 16_384


def generate_key(private_file: Path, *, passphrase: str = "") -> tuple[Path, str]:
    """Write a new key pair, ``NAME.key`` and ``NAME.pub``; returns the public file and the key's id.

    Raises:
        ConflictError: one of the files exists; keys are never overwritten.
        StorageFullError.
    """
    public_file = private_file.with_suffix(PUBLIC_SUFFIX)
    for file in (private_file, public_file):
        if file.exists():
            raise ConflictError(f"{file} exists.", hint="Keys are not overwritten: choose another name.")
    private = Ed25519PrivateKey.generate()
    protection: KeySerializationEncryption = (
        BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    public = SSlibKey.from_crypto(private.public_key())
    private_file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(private_file, pem, mode=0o600)
    write_durably(public_file, json.dumps(key_document(public), indent=1).encode() + b"\n")
    return public_file, public.keyid


def needs_passphrase(private_file: Path) -> bool:
    """Whether the key is encrypted.

    Raises:
        InvalidConfigError: the file cannot be read.
    """
    return b"ENCRYPTED" in _read(private_file)


def load_signer(private_file: Path, *, passphrase: str = "") -> CryptoSigner:
    """The key, ready to sign.

    Raises:
        InvalidConfigError: the file is no Ed25519 key, others can read it, or the passphrase is wrong.
    """
    content = _read(private_file)
    if os.stat(private_file).st_mode & 0o077:  # noqa: PTH116 - as short and as clear
        raise InvalidConfigError(
            f"{private_file} can be read by others.", hint=f"Run: chmod 600 {private_file}"
        )
    try:
        private = load_pem_private_key(content, passphrase.encode() or None)
    except TypeError:
        needed = "needs a passphrase" if not passphrase else "has no passphrase, but one was given"
        raise InvalidConfigError(f"{private_file} {needed}.") from None
    except ValueError:
        raise InvalidConfigError(
            f"{private_file} is no key, or the passphrase is wrong.", hint="Try the passphrase again."
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidConfigError(
            f"{private_file} is no Ed25519 key.", hint="Make one with 'edgehost keygen'."
        )
    return CryptoSigner(private)


def load_public_key(public_file: Path) -> SSlibKey:
    """The public half.

    Raises:
        InvalidConfigError: the file is no public key.
    """
    try:
        document: dict[str, Any] = json.loads(_read(public_file))
        key = Key.from_dict(document.pop("keyid"), document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidConfigError(
            f"{public_file} is no public key.", hint="It is the '.pub' file that 'edgehost keygen' writes."
        ) from None
    if not isinstance(key, SSlibKey) or key.keytype != "ed25519":
        raise InvalidConfigError(f"{public_file} is no Ed25519 key.", hint="Make one with 'edgehost keygen'.")
    return key


def key_document(key: SSlibKey) -> dict[str, Any]:
    """The public key as JSON."""
    return {"keyid": key.keyid, **key.to_dict()}


def _read(file: Path) -> bytes:
    content = read_bounded(file, _FILE_MOST_BYTES)
    if content is None:
        raise InvalidConfigError(f"{file} cannot be read.", hint="Name a key file from 'edgehost keygen'.")
    return content
