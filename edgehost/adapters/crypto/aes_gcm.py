"""AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits each time.

A random nonce may be drawn 2^32 times under one key; at a thousand writes a second that is fifty days, so a
host that writes as much changes its key now and then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final

from edgehost.domain.errors import DamagedError, KeyLostError

_NONCE_BYTES: Final = 12
#: $aes-256-gcm$KEY ID$base64 of nonce, ciphertext and tag
_SEALED: Final = re.compile(r"\$aes-256-gcm\$([0-9a-f]{16})\$([A-Za-z0-9+/]+={0,2})")


class AesGcmVault:
    """Seals with the newest key, opens with whichever is named."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._newest = key_id(keys[-1])
        self._ciphers: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"AesGcmVault({', '.join(self._keys)})"

    def seal(self, clear: bytes, about: str) -> str:
        """The text to be stored."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher(self._newest).encrypt(nonce, clear, about.encode())
        return f"$aes-256-gcm${self._newest}${base64.b64encode(sealed).decode()}"

    def open(self, sealed: object, about: str) -> bytes:
        """What was sealed.

        Raises:
            KeyLostError: the key is not here.
            DamagedError: the text is not what was stored for this place.
        """
        match = _SEALED.fullmatch(sealed) if isinstance(sealed, str) else None
        if match is None:
            raise DamagedError(f"{about} holds nothing that was encrypted.")
        if match[1] not in self._keys:
            raise KeyLostError(
                f"{about} is encrypted under the key {match[1]}, which is not in the key file.",
                hint="Add that key to the file of [security] key_file, before the newest one.",
            )
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _cipher

        try:
            raw = _decoded(match[2])
            opened: bytes = self._cipher(match[1]).decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode()
            )
        except (InvalidTag, ValueError, binascii.Error):
            raise DamagedError(
                f"{about} does not open with its key {match[1]}: it was changed, or moved here."
            ) from None
        return opened

    def is_sealed(self, stored: object) -> bool:
        """Whether it looks like something that was sealed."""
        return isinstance(stored, str) and _SEALED.fullmatch(stored) is not None

    def _cipher(self, name: str) -> Any:  # noqa: ANN401 - the library's class, imported late
        cipher = self._ciphers.get(name)
        if cipher is None:
            # 5 MB that a host without encrypted members does not need
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

            cipher = self._ciphers[name] = AESGCM(self._keys[name])
        return cipher


def _decoded(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("Bits that base64 does not use were changed.")
    return raw


def key_id(key: bytes) -> str:
    """What a key is called; tells nothing about it."""
    return hashlib.sha256(b"edgehost key id\0" + key).hexdigest()[:16]
