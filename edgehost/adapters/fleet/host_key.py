"""A host's own key: made at its first start, never shown, and used for nothing but its reports on deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remotes import cose_sign1
from remotes.own_key import OwnKey, open_own_key

#: What a report is signed for.
REPORT: Final = b"edgehost report"
_SIGNED_MOST_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class HostKey:
    """Signs as this host."""

    own: OwnKey

    @property
    def public(self) -> bytes:
        """The part that others may know: 32 bytes."""
        return self.own.public

    def signed(self, document: Mapping[str, Any]) -> bytes:
        """A COSE_Sign1 of what this host says."""
        return cose_sign1.sign(
            cose_sign1.write_map(document),
            key_id=bytes.fromhex(cose_sign1.key_id_of(self.public)),
            sign_ed25519=self.own.sign_ed25519,
            context=REPORT,
        )


def opened_report(signed: bytes, public: bytes) -> Mapping[str, Any]:
    """What was signed with the private part of this key.

    Raises:
        RefusedError: it is no signed message, or the signature does not hold.
    """
    keys = {bytes.fromhex(cose_sign1.key_id_of(public)): public}
    payload, _ = cose_sign1.verify(signed, keys, context=REPORT, most_bytes=_SIGNED_MOST_BYTES)
    return cose_sign1.read_map(payload)


async def open_host_key(file: Path) -> HostKey:
    """The key in the file, or a new one when there is no file.

    Raises:
        InvalidConfigError: the file holds something else, or others can read it.
        StorageFullError: a new one cannot be kept.
    """
    return HostKey(await asyncio.to_thread(open_own_key, file))
