"""The file of the host's keys: 32 bytes each, the newest last, for its owner's eyes only."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edgehost.domain.errors import InvalidConfigError

KEY_BYTES: Final = 32
_MOST_KEYS: Final = 64


def read_key_file(path: Path) -> tuple[bytes, ...]:
    """The keys, oldest first. Blocking; small.

    Raises:
        InvalidConfigError: it is not there, others can use it, or its length is no multiple of 32 bytes.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MOST_KEYS * KEY_BYTES + 1)
    except OSError as error:
        raise InvalidConfigError(
            f"security.key_file {path} cannot be read: {error.strerror}.",
            hint=f"Make one: (umask 077; head -c {KEY_BYTES} /dev/urandom > {path}), and keep a copy elsewhere.",
        ) from None
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise InvalidConfigError(
            f"security.key_file {path} has mode {mode:04o}: others can use it.",
            hint=f"Run 'chmod 600 {path}'.",
        )
    keys = tuple(content[at : at + KEY_BYTES] for at in range(0, len(content), KEY_BYTES))
    if not keys or len(keys) > _MOST_KEYS or len(keys[-1]) != KEY_BYTES:
        raise InvalidConfigError(
            f"security.key_file {path} must hold 1 to {_MOST_KEYS} keys of {KEY_BYTES} bytes, one after the other.",
            hint="Restore it from your copy; a new key is added with 'head -c 32 /dev/urandom >> FILE'.",
        )
    if any(len(set(key)) == 1 for key in keys):
        raise InvalidConfigError(
            f"security.key_file {path} has a key of one repeated byte.", hint="Take random bytes."
        )
    return keys
