"""Publishing: a component becomes a signed target of a repository in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import semver
from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Snapshot, TargetFile, Targets, Timestamp

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import ConflictError, TooLargeError
from edgehost.domain.offered_release import OfferedRelease
from remotes.clock_floor import from_seconds
from remotes.delegated_roles import all_targets, role_for, staged_path, waiting_roles
from remotes.delegation import role_rows
from remotes.delta_publisher import write_deltas
from remotes.document_publisher import document_row, documents
from remotes.repository import STANDARD_EXPIRY, Expiry, Repository
from remotes.repository_files import drop_stale_files
from remotes.root_ceremony import root_signing
from remotes.signed_document import is_document_path
from remotes.signed_target import TARGET_MOST_BYTES, custom_field, read_target, target_path
from remotes.taking_in import require_acceptable
from remotes.target_changes import (
    Published,
    next_sequence,
    next_targets,
    require_free,
    sign_change,
    timestamp_bytes,
    withdraw_target,
    write_chunks,
)
from remotes.transport import TIMESTAMP


def publish_release(
    folder: Path,
    spec: ComponentSpec,
    content: bytes,
    *,
    signers: Sequence[Signer],
    keep: int = 3,
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Sign the component as the newest release of its name; ``keep`` releases of it stay on offer.

    Publishing the same bytes again brings an earlier release back to the top.

    Raises:
        ConflictError: other bytes were published under this version, or somebody else is at work.
        NotFoundError: there is no repository in the folder.
        InvalidConfigError: a role's key is not among the signers.
        TooLargeError: hosts would not take it.
        StorageFullError.
    """
    if not 0 < len(content) <= TARGET_MOST_BYTES:
        raise TooLargeError(f"The component has {len(content)} bytes; 1 to {TARGET_MOST_BYTES} are possible.")
    repository = Repository(folder)
    with repository.locked():
        repository.root()
        drop_stale_files(repository)
        digest = hashlib.sha256(content).hexdigest()
        path = target_path(spec.name, spec.version)
        role = role_for(repository, path, signers)
        require_free(repository, role, path)
        targets = next_targets(repository, expiry, now, role)
        known = targets.targets.get(path)
        if known is not None and known.hashes.get("sha256") != digest:
            raise ConflictError(
                f"{spec.name} {spec.version} was published with other bytes.",
                hint="A version is one set of bytes for ever: raise the version in component.toml.",
            )
        chunks = write_chunks(folder, content)
        notes = _notes(targets, spec, signed_before=known is not None)
        _keep_newest(targets, spec.name, keep, beside=path)
        deltas = write_deltas(
            folder, content, [each for each in _offers(targets) if each.component == spec.name]
        )
        custom = custom_field(
            spec, sequence=next_sequence(repository, targets, spec.name), chunks=chunks, deltas=deltas
        )
        targets.targets[path] = TargetFile(len(content), {"sha256": digest}, path, {"custom": custom})
        release = read_target(
            path, length=len(content), hashes={"sha256": digest}, custom=custom, remote=folder.name
        )
        return sign_change(
            repository,
            targets,
            signers,
            expiry,
            now,
            role=role,
            release=release,
            chunks=(*chunks, *(chunk for delta in deltas for chunk in delta.chunks)),
            notes=notes,
        )


def withdraw_release(
    folder: Path,
    component: str,
    version: str,
    *,
    signers: Sequence[Signer],
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Take a release off the offer; hosts that run it keep it until they are told otherwise.

    Raises:
        NotFoundError: it is not on offer.
        InvalidConfigError, ConflictError, StorageFullError: as for publish_release.
    """
    path = target_path(component, version)
    return withdraw_target(folder, path, f"{component} {version}", signers=signers, expiry=expiry, now=now)


def refresh_metadata(
    folder: Path, *, signers: Sequence[Signer], expiry: Expiry = STANDARD_EXPIRY, now: float
) -> Published:
    """Take in what teams have signed and sign a new timestamp.

    The rest is signed again where it is half-way to its expiry or its keys have changed.

    Raises:
        NotFoundError: there is no repository in the folder.
        InvalidConfigError, ConflictError, StorageFullError: as for publish_release.
    """
    repository = Repository(folder)
    with repository.locked():
        waiting = waiting_roles(repository)
        require_acceptable(repository, waiting, now)
        if waiting or _must_sign_again(repository, expiry, now):
            targets = next_targets(repository, expiry, now)
            published = sign_change(repository, targets, signers, expiry, now, delegated=waiting)
            for role in waiting:
                (folder / staged_path(role)).unlink(missing_ok=True)
            # A mirror of the state before lacks what teams have brought since: then everything is compared.
            return replace(published, before=b"") if waiting else published
        before = timestamp_bytes(repository)
        repository.sign_timestamp(signers, expiry=expiry, now=now)
        return Published(None, frozenset({TIMESTAMP}), before)


def show_repository(folder: Path, *, now: float) -> dict[str, Any]:
    """Keys, expiries and releases as a document for people and for ``--json``.

    Raises:
        NotFoundError: there is no repository, not even a staged one.
    """
    repository = Repository(folder)
    waiting = root_signing(folder)
    staged = None
    if waiting is not None:
        staged = {
            "version": waiting.version,
            "signed_by": list(waiting.signed_by),
            "may_sign": list(waiting.may_sign),
            "missing": waiting.missing,
        }
    if not repository.root_versions() and staged is not None:
        nothing: dict[str, Any] = {"releases": [], "documents": [], "delegated": []}
        return {"root": None, "staged_root": staged, "roles": {}} | nothing
    root = repository.root().signed
    found: dict[str, Any] = {"root": root, "timestamp": repository.timestamp()}
    found |= {"snapshot": repository.snapshot(), "targets": repository.targets()}
    roles = {
        name: _role_row(metadata.signed if isinstance(metadata, Metadata) else metadata, now)
        for name, metadata in found.items()
        if metadata is not None
    }
    return {
        "root": {
            "version": root.version,
            "file": str(folder / f"metadata/{root.version}.root.json"),
            "threshold": root.roles["root"].threshold,
            "keys": sorted(root.roles["root"].keyids),
            "online_keys": sorted(root.roles[Timestamp.type].keyids),
        },
        "staged_root": staged,
        "roles": roles,
        "releases": [_release_row(release) for release in releases(repository)],
        "documents": [document_row(document) for document in documents(repository)],
        "delegated": role_rows(repository),
    }


def releases(repository: Repository) -> tuple[OfferedRelease, ...]:
    """What is on offer, oldest first in each component."""
    found = [offer for _, targets in all_targets(repository, waiting=False) for offer in _offers(targets)]
    return tuple(sorted(found, key=lambda offer: (offer.component, offer.sequence)))


def _offers(targets: Targets) -> list[OfferedRelease]:
    return [_offer(path, target) for path, target in targets.targets.items() if not is_document_path(path)]


def _offer(path: str, target: TargetFile) -> OfferedRelease:
    return read_target(path, length=target.length, hashes=target.hashes, custom=target.custom, remote="")


def _keep_newest(targets: Targets, component: str, keep: int, *, beside: str) -> None:
    """Drop the oldest, so that with the one that comes at the path ``beside`` there are ``keep``."""
    mine = sorted(
        (o for o in _offers(targets) if o.component == component and o.target_path != beside),
        key=lambda offer: offer.sequence,
    )
    for offer in mine[: max(0, len(mine) - max(1, keep) + 1)]:
        del targets.targets[offer.target_path]


def _notes(targets: Targets, spec: ComponentSpec, *, signed_before: bool) -> tuple[str, ...]:
    versions = [
        semver.Version.parse(offer.version) for offer in _offers(targets) if offer.component == spec.name
    ]
    newest = max(versions, default=None)
    notes = []
    if signed_before:
        notes.append(f"{spec.name} {spec.version} was on offer with the same bytes; it is signed again.")
    if newest is not None and newest > semver.Version.parse(spec.version):
        notes.append(f"{spec.name} {newest} is newer than {spec.version}; hosts that have it stay.")
    return tuple(notes)


def _must_sign_again(repository: Repository, expiry: Expiry, now: float) -> bool:
    root, snapshot, targets = repository.root().signed, repository.snapshot(), repository.targets()
    if snapshot is None or targets is None:
        return True  # the first state, with nothing on offer: hosts can follow from now on
    checked: tuple[tuple[str, Metadata[Any], int], ...] = (
        (Snapshot.type, snapshot, expiry.snapshot_days),
        (Targets.type, targets, expiry.targets_days),
    )
    for role, metadata, days in checked:
        try:
            root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except RepositoryError:
            return True
        if metadata.signed.expires - from_seconds(now) < timedelta(days=days) / 2:
            return True
    return False


def _role_row(signed: Any, now: float) -> dict[str, Any]:  # noqa: ANN401 - one of four classes of the library
    expires: datetime = signed.expires
    left = (expires - from_seconds(now)) / timedelta(days=1)
    return {"version": signed.version, "expires": expires.isoformat(), "days_left": round(left, 1)}


def _release_row(release: OfferedRelease) -> dict[str, Any]:
    return {
        "component": release.component,
        "version": release.version,
        "kind": release.kind,
        "abi": release.abi,
        "sequence": release.sequence,
        "device_classes": list(release.device_classes),
        "digest": release.digest,
        "size_bytes": release.size_bytes,
    }
