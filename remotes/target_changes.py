"""What every change of a repository's targets has in common, whatever the target is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import Targets

from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_document import SignedDocument
from remotes.durable_file import read_bounded, write_durably
from remotes.repository import Expiry, Repository
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, TIMESTAMP

#: In the targets role: the last sequence of each name, which a withdrawal does not take back.
_SEQUENCES: Final = "x-edgehost-sequences"


@dataclass(frozen=True, slots=True)
class Published:
    """What a change of the repository made."""

    release: OfferedRelease | None  # None: no component was involved
    fresh: frozenset[str]  # paths that a mirror of the state before lacks
    before: bytes  # the timestamp of the state before; b"" for none
    notes: tuple[str, ...] = ()  # what the publisher may not have meant
    document: SignedDocument | None = None


def next_targets(repository: Repository, expiry: Expiry, now: float) -> Targets:
    """A copy of the current targets with the next version."""
    current = repository.targets()
    if current is None:
        return Targets(version=1, expires=expiry.of(Targets.type, now), targets={})
    targets = current.signed
    targets.version += 1
    targets.expires = expiry.of(Targets.type, now)
    return targets


def next_sequence(targets: Targets, name: str) -> int:
    """The next sequence of this name, which is taken by asking."""
    sequences = targets.unrecognized_fields.setdefault(_SEQUENCES, {})
    sequences[name] = sequence = int(sequences.get(name, 0)) + 1
    return sequence


def sign_change(
    repository: Repository,
    targets: Targets,
    signers: Sequence[Signer],
    expiry: Expiry,
    now: float,
    *,
    release: OfferedRelease | None = None,
    document: SignedDocument | None = None,
    chunks: Sequence[str] = (),
    notes: tuple[str, ...] = (),
) -> Published:
    """Make the targets current, and say what a mirror lacks then."""
    before = timestamp_bytes(repository)
    repository.sign_state(targets, signers, expiry=expiry, now=now)
    snapshot = repository.snapshot()
    version = snapshot.signed.version if snapshot is not None else 0
    fresh = {f"metadata/{targets.version}.targets.json", f"metadata/{version}.snapshot.json", TIMESTAMP}
    fresh |= {f"chunk/{chunk}" for chunk in chunks}
    return Published(release, frozenset(fresh), before, notes, document)


def timestamp_bytes(repository: Repository) -> bytes:
    """The current timestamp; b"" for none."""
    return read_bounded(repository.folder / TIMESTAMP, METADATA_MOST_BYTES) or b""


def write_chunks(folder: Path, content: bytes) -> tuple[str, ...]:
    """Cut the content and keep each chunk by its digest; returns them in order."""
    chunks = []
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = content[start : start + CHUNK_BYTES]
        name = hashlib.sha256(chunk).hexdigest()
        if read_bounded(folder / "chunk" / name, CHUNK_BYTES) != chunk:
            write_durably(folder / "chunk" / name, chunk)
        chunks.append(name)
    return tuple(chunks)
