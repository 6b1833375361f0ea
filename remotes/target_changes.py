"""What every change of a repository's targets has in common, whatever the target is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import DelegatedRole, Metadata, Targets

from edgehost.domain.errors import ConflictError, NotFoundError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_document import SignedDocument
from remotes.delegated_roles import (
    all_targets,
    current_targets,
    delegated_roles,
    has_online_key,
    role_for,
    signed_by_role,
    stage,
    staged_path,
)
from remotes.durable_file import read_bounded, write_durably
from remotes.repository import Expiry, Repository
from remotes.repository_files import drop_stale_files
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, TIMESTAMP

#: In the targets role: the last sequence of each name, which a withdrawal does not take back.
_SEQUENCES: Final = "x-edgehost-sequences"
_NONE: Final[Mapping[str, Metadata[Targets]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Published:
    """What a change of the repository made."""

    release: OfferedRelease | None  # None: no component was involved
    fresh: frozenset[str]  # paths that a mirror of the state before lacks
    before: bytes  # the timestamp of the state before; b"" for none
    notes: tuple[str, ...] = ()  # what the publisher may not have meant
    document: SignedDocument | None = None


def next_targets(repository: Repository, expiry: Expiry, now: float, role: str = Targets.type) -> Targets:
    """A copy of the role's current targets with the next version; what waits to be taken in is current for its role."""
    current = current_targets(repository, role)
    if current is None:
        return Targets(version=1, expires=expiry.of(Targets.type, now), targets={})
    targets = current.signed
    targets.version += 1
    targets.expires = expiry.of(Targets.type, now)
    return targets


def next_sequence(repository: Repository, targets: Targets, name: str) -> int:
    """The next sequence of this name, whichever role signed the last; it is taken by asking.

    A role has a say in the names that it may sign, and in no others.
    """
    own = delegated_roles(repository)
    signed = [
        targets,
        *(each for role, each in all_targets(repository) if role not in own or _may_count(own[role], name)),
    ]
    sequence = max(counted(each).get(name, 0) for each in signed) + 1
    targets.unrecognized_fields.setdefault(_SEQUENCES, {})[name] = sequence
    return sequence


def counted(targets: Targets) -> dict[str, int]:
    """The last sequence of each name by the word of this role."""
    words = targets.unrecognized_fields.get(_SEQUENCES)
    found = words if isinstance(words, dict) else {}
    return {name: last for name, last in found.items() if isinstance(last, int)}


def _may_count(role: DelegatedRole, name: str) -> bool:
    """Whether paths that begin with this name may be the role's."""
    steps = name.split("/")
    return any(
        len(path.split("/")) > len(steps) and all(map(fnmatchcase, steps, path.split("/")))
        for path in role.paths or []
    )


def require_free(repository: Repository, role: str, path: str) -> None:
    """Check that no other role signs this path: hosts would take the first one's.

    Raises:
        ConflictError: one does.
    """
    for other, targets in all_targets(repository):
        if other != role and path in targets.targets:
            raise ConflictError(
                f"Role '{other}' signs {path} already.", hint="Withdraw it there, or raise the version."
            )


def withdraw_target(
    folder: Path, path: str, what: str, *, signers: Sequence[Signer], expiry: Expiry, now: float
) -> Published:
    """Take a target off the offer; ``what`` it is called by people.

    Raises:
        NotFoundError: it is not on offer.
        InvalidConfigError, ConflictError, StorageFullError: as for publish_release.
    """
    repository = Repository(folder)
    with repository.locked():
        drop_stale_files(repository)
        role = role_for(repository, path, signers)
        targets = next_targets(repository, expiry, now, role)
        if targets.targets.pop(path, None) is None:
            raise NotFoundError(f"{what} is not on offer.", hint="See 'edgehost remote show'.")
        return sign_change(repository, targets, signers, expiry, now, role=role)


def sign_change(
    repository: Repository,
    targets: Targets,
    signers: Sequence[Signer],
    expiry: Expiry,
    now: float,
    *,
    role: str = Targets.type,
    release: OfferedRelease | None = None,
    document: SignedDocument | None = None,
    chunks: Sequence[str] = (),
    notes: tuple[str, ...] = (),
    delegated: Mapping[str, Metadata[Targets]] = _NONE,
) -> Published:
    """Make the targets current, and say what a mirror lacks then.

    What a delegated role signs waits for the holder of the online key, unless that key is at hand too.
    """
    before = timestamp_bytes(repository)
    fresh = {f"chunk/{chunk}" for chunk in chunks}
    if role == Targets.type:
        repository.sign_state(targets, signers, expiry=expiry, now=now, delegated=delegated)
        written = {role: targets.version, **{name: each.signed.version for name, each in delegated.items()}}
    else:
        signed = signed_by_role(repository, role, targets, signers)
        if not has_online_key(repository, signers):
            stage(repository, role, signed)
            note = (
                f"It waits in {repository.folder / staged_path(role)} until the holder of the online key "
                f"has run 'edgehost remote refresh'."
            )
            return Published(release, frozenset(fresh), before, (*notes, note), document)
        repository.sign_state(None, signers, expiry=expiry, now=now, delegated={role: signed})
        (repository.folder / staged_path(role)).unlink(missing_ok=True)
        written = {role: targets.version}
    snapshot = repository.snapshot()
    version = snapshot.signed.version if snapshot is not None else 0
    fresh |= {f"metadata/{version}.snapshot.json", TIMESTAMP}
    fresh |= {f"metadata/{number}.{name}.json" for name, number in written.items()}
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
