"""An Ed25519 key that a machine makes for itself and keeps in a file that nobody else can read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.domain.errors import InvalidConfigError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from remotes.durable_file import read_bounded, write_durably

_FILE_MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, repr=False)
class OwnKey:
    """Signs as this machine."""

    public: bytes  # 32 of them
    sign_ed25519: Callable[[bytes], bytes]


def open_own_key(file: Path) -> OwnKey:
    """The key in the file, or a new one when there is no file. Blocking.

    Raises:
        InvalidConfigError: the file holds something else, or others can read it.
        StorageFullError: a new one cannot be kept.
    """
    # The library costs 7 MB, so machines that sign nothing have none of it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    content = read_bounded(file, _FILE_MOST_BYTES)
    if content is None:
        private = Ed25519PrivateKey.generate()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(file, write_json({"private": private.private_bytes_raw().hex()}), mode=0o600)
    else:
        if os.stat(file).st_mode & 0o077:  # noqa: PTH116 - as short and as clear
            raise InvalidConfigError(f"{file} can be read by others.", hint=f"Run: chmod 600 {file}")
        try:
            private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(read_json(content)["private"]))
        except (RefusedError, KeyError, TypeError, ValueError):
            raise InvalidConfigError(
                f"{file} holds no key of a host.",
                hint="Move it away: a new key is made, which deployments must then list.",
            ) from None
    return OwnKey(private.public_key().public_bytes_raw(), private.sign)
