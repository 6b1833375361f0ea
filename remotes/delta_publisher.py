"""The publisher's side of deltas: made from the releases that stay on offer, kept where they pay."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgehost.domain.offered_release import OfferedRelease
from remotes.delta import make_delta
from remotes.durable_file import read_bounded
from remotes.signed_target import Delta
from remotes.target_changes import write_chunks
from remotes.transport import CHUNK_BYTES

#: Most hosts run the release before or the one before that.
_BASES: Final = 2
#: A delta costs a look at its base, a second list of chunks in the metadata, and space at every mirror.
_PAYS_BELOW: Final = 0.6


def write_deltas(folder: Path, content: bytes, offers: Sequence[OfferedRelease]) -> tuple[Delta, ...]:
    """Deltas from the newest of these releases to the content, those that pay, newest base first.

    Their chunks lie in the folder then. A base whose chunks are lost here makes none.

    Raises:
        StorageFullError.
    """
    deltas = []
    digest = hashlib.sha256(content).hexdigest()
    bases = sorted(
        (offer for offer in offers if offer.digest != digest), key=lambda offer: offer.sequence, reverse=True
    )
    for offer in bases[:_BASES]:
        base = _content(folder, offer)
        if base is None:
            continue
        delta = make_delta(base, content)
        if len(delta) < _PAYS_BELOW * len(content):
            chunks = write_chunks(folder, delta)
            deltas.append(Delta(offer.digest, hashlib.sha256(delta).hexdigest(), len(delta), chunks))
    return tuple(deltas)


def _content(folder: Path, offer: OfferedRelease) -> bytes | None:
    parts = [read_bounded(folder / "chunk" / chunk, CHUNK_BYTES) or b"" for chunk in offer.chunks]
    content = b"".join(parts)
    return content if hashlib.sha256(content).hexdigest() == offer.digest else None
