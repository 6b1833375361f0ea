"""Publishing deployments and firmware: a document becomes a signed target of a repository in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile, Targets

from edgehost.domain.errors import ConflictError
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from remotes.delegated_roles import all_targets, role_for
from remotes.repository import STANDARD_EXPIRY, Expiry, Repository
from remotes.repository_files import drop_stale_files
from remotes.signed_document import (
    COUNTED,
    document_field,
    document_path,
    is_document_path,
    read_document,
    require_consistent,
)
from remotes.target_changes import (
    Published,
    next_sequence,
    next_targets,
    require_free,
    sign_change,
    withdraw_target,
    write_chunks,
)

_NO_WORDS: Final[Mapping[str, str]] = {}


def publish_document(
    folder: Path,
    kind: DocumentKind,
    name: str,
    content: bytes | Callable[[int], bytes],
    *,
    version: str = "",
    about: Mapping[str, str] = _NO_WORDS,
    signers: Sequence[Signer],
    keep: int = 3,
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Sign the document as the newest of its name; ``keep`` of it stay on offer.

    A deployment's version is its sequence, and a device manifest's too, so they take none; ``content`` may be a function of the sequence where it
    stands in the bytes. Firmware needs a semantic version, and the same bytes may be published again.

    Raises:
        ConflictError: other bytes were published under this version, or somebody else is at work.
        InvalidSpecificationError: hosts would not take it.
        NotFoundError: there is no repository in the folder.
        InvalidConfigError: a role's key is not among the signers.
        StorageFullError.
    """
    repository = Repository(folder)
    with repository.locked():
        repository.root()
        drop_stale_files(repository)
        role = role_for(repository, document_path(kind, name, version or "1"), signers)
        targets = next_targets(repository, expiry, now, role)
        # A device runs one component of many, and takes none with a smaller sequence than that of the one before.
        counter = f"@{kind}" if kind is DocumentKind.DEVICE else f"@{kind}/{name}"
        sequence = next_sequence(repository, targets, counter)
        version = str(sequence) if kind in COUNTED else version
        path = document_path(kind, name, version)
        require_free(repository, role, path)
        content = content(sequence) if callable(content) else content
        digest = hashlib.sha256(content).hexdigest()
        known = targets.targets.get(path)
        if known is not None and known.hashes.get("sha256") != digest:
            raise ConflictError(
                f"{kind} {name} {version} was published with other bytes.",
                hint="A version is one set of bytes for ever: publish it under the next.",
            )
        document = SignedDocument(
            kind=kind,
            name=name,
            version=version,
            sequence=sequence,
            digest=digest,
            size_bytes=len(content),
            remote=folder.name,
            target_path=path,
            about=about,
        )
        document = replace(document, chunks=write_chunks(folder, content))
        require_consistent(document)
        custom = {"custom": document_field(document)}
        targets.targets[path] = TargetFile(len(content), {"sha256": digest}, path, custom)
        _keep_newest(targets, document, keep)
        return sign_change(
            repository, targets, signers, expiry, now, role=role, document=document, chunks=document.chunks
        )


def withdraw_document(
    folder: Path,
    kind: DocumentKind,
    name: str,
    version: str,
    *,
    signers: Sequence[Signer],
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Take a document off the offer; hosts that have accepted it keep it until a larger sequence comes.

    Raises:
        NotFoundError: it is not on offer.
        InvalidConfigError, ConflictError, StorageFullError: as for publish_document.
    """
    path = document_path(kind, name, version)
    what = f"{kind} {name} {version}"
    return withdraw_target(folder, path, what, signers=signers, expiry=expiry, now=now)


def documents(repository: Repository) -> tuple[SignedDocument, ...]:
    """The documents on offer, oldest first in each name."""
    found = [each for _, targets in all_targets(repository, waiting=False) for each in _documents(targets)]
    return tuple(sorted(found, key=lambda each: (each.kind, each.name, each.sequence)))


def document_row(document: SignedDocument) -> dict[str, Any]:
    """A document for people and for ``--json``."""
    return {
        "kind": str(document.kind),
        "name": document.name,
        "version": document.version,
        "sequence": document.sequence,
        "digest": document.digest,
        "size_bytes": document.size_bytes,
        "about": dict(document.about),
    }


def _documents(targets: Targets) -> list[SignedDocument]:
    found = (
        read_document(path, length=target.length, hashes=target.hashes, custom=target.custom, remote="")
        for path, target in targets.targets.items()
        if is_document_path(path)
    )
    return [document for document in found if document is not None]


def _keep_newest(targets: Targets, newest: SignedDocument, keep: int) -> None:
    mine = [each for each in _documents(targets) if (each.kind, each.name) == (newest.kind, newest.name)]
    mine.sort(key=lambda each: each.sequence)
    for document in mine[: -max(1, keep)]:
        del targets.targets[document.target_path]
