"""What keeps members of records secret on this host."""

from __future__ import annotations

from edgehost.adapters.crypto.aes_gcm import AesGcmVault
from edgehost.adapters.crypto.key_file import read_key_file
from edgehost.config import Config
from edgehost.ports.member_vault import MemberVault


def open_vault(config: Config) -> MemberVault | None:
    """The vault over the host's keys; None when it has none. Blocking; small.

    Raises:
        InvalidConfigError: the key file cannot be used.
    """
    path = config.security.key_file
    return None if path is None else AesGcmVault(read_key_file(path))
