"""A repository in a folder: the metadata that is current, and the chunks that it names.

The folder has the names that every transport has, so that mirroring is copying. Nothing in it is secret: the
keys are brought by whoever signs. Files are written in the order in which readers look for them last to first,
so a crash leaves the state before.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from edgehost.domain.errors import ConflictError, DamagedError, InvalidConfigError, NotFoundError
from remotes.clock_floor import from_seconds
from remotes.durable_file import drop_leftovers, read_bounded, write_durably
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP
from remotes.trust import SIGNED_AT

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)
_NONE: Final[Mapping[str, Metadata[Targets]]] = MappingProxyType({})
ONLINE_ROLES: Final = (Targets.type, Snapshot.type, Timestamp.type)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Days that each role holds. A short timestamp makes a freeze short, and needs a refresh as often."""

    root_days: int = 365
    targets_days: int = 365
    snapshot_days: int = 90
    timestamp_days: int = 30

    def of(self, role: str, now: float) -> datetime:
        """When metadata of this role that is signed now expires."""
        days = {
            Root.type: self.root_days,
            Snapshot.type: self.snapshot_days,
            Timestamp.type: self.timestamp_days,
        }.get(role, self.targets_days)
        return (from_seconds(now) + timedelta(days=days)).replace(microsecond=0)


STANDARD_EXPIRY: Final = Expiry()


class Repository:
    """Reads and writes the folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second publisher out.

        Raises:
            ConflictError: there is one at work.
        """
        (self.folder / "metadata").mkdir(parents=True, exist_ok=True)
        (self.folder / "chunk").mkdir(exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in ("metadata", "chunk"):
                drop_leftovers(self.folder / name)
            yield
        except BlockingIOError:
            raise ConflictError(
                f"Somebody else is changing {self.folder}.", hint="Wait for it, then try again."
            ) from None
        finally:
            os.close(descriptor)

    def root_versions(self) -> tuple[int, ...]:
        """The roots that clients may need, oldest first."""
        names = (self.folder / "metadata").glob("*.root.json")
        return tuple(sorted(int(file.name.partition(".")[0]) for file in names))

    def root(self, version: int | None = None) -> Metadata[Root]:
        """The current root, or an earlier one.

        Raises:
            NotFoundError: there is no repository here, or its first root still lacks signatures.
        """
        versions = self.root_versions()
        if not versions:
            raise NotFoundError(
                f"There is no signed repository in {self.folder}.",
                hint="Run 'edgehost remote init', then 'edgehost remote sign' until enough keys have signed.",
            )
        return self.read(f"metadata/{version or versions[-1]}.root.json", Root)

    def timestamp(self) -> Metadata[Timestamp] | None:
        """The current timestamp; None before anything was signed."""
        return self.read(TIMESTAMP, Timestamp) if (self.folder / TIMESTAMP).exists() else None

    def snapshot(self) -> Metadata[Snapshot] | None:
        """The snapshot that the timestamp names."""
        timestamp = self.timestamp()
        if timestamp is None:
            return None
        return self.read(f"metadata/{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)

    def targets(self, role: str = Targets.type) -> Metadata[Targets] | None:
        """The targets that the snapshot names."""
        snapshot = self.snapshot()
        meta = snapshot.signed.meta.get(f"{role}.json") if snapshot is not None else None
        return self.read(f"metadata/{meta.version}.{role}.json", Targets) if meta is not None else None

    def read(self, path: str, _kind: type[S]) -> Metadata[S]:
        """A metadata file of ours.

        Raises:
            DamagedError: it is missing or unreadable.
        """
        content = read_bounded(self.folder / path, METADATA_MOST_BYTES)
        try:
            if content is None:
                raise DamagedError(f"{self.folder / path} is missing.", hint="Restore it from a mirror.")
            return Metadata[S].from_bytes(content)
        except RepositoryError as error:
            raise DamagedError(f"{self.folder / path}: {error}.", hint="Restore it from a mirror.") from error

    def write(self, path: str, metadata: Metadata[Any]) -> bytes:
        """Write a metadata file and return its bytes."""
        content: bytes = metadata.to_bytes()
        if len(content) > METADATA_MOST_BYTES:
            raise ConflictError(
                f"{path} would have {len(content)} bytes; hosts take {METADATA_MOST_BYTES}.",
                hint="Keep fewer releases of each component, or delegate components to teams.",
            )
        write_durably(self.folder / path, content)
        return content

    def sign_state(
        self,
        targets: Targets | None,
        signers: Sequence[Signer],
        *,
        expiry: Expiry,
        now: float,
        delegated: Mapping[str, Metadata[Targets]] = _NONE,
    ) -> None:
        """Sign the targets and all that leads to them; the timestamp, written last, makes it current.

        ``delegated`` are signed targets of other roles; with None for ``targets`` those of the top role stay.

        Raises:
            InvalidConfigError: a role lacks a key.
        """
        root = self.root().signed
        old_snapshot, old_timestamp = self.snapshot(), self.timestamp()
        metas = dict(old_snapshot.signed.meta) if old_snapshot is not None else {}
        files = dict(delegated)
        if targets is not None:
            files[Targets.type] = self._signed(root, targets, signers)
        for role, file in files.items():
            path = f"metadata/{file.signed.version}.{role}.json"
            metas[f"{role}.json"] = _meta(file.signed.version, self.write(path, file))
        version = old_snapshot.signed.version + 1 if old_snapshot is not None else 1
        snapshot = Snapshot(version=version, expires=expiry.of(Snapshot.type, now), meta=metas)
        self._write_tip(root, snapshot, old_timestamp, signers, expiry=expiry, now=now)

    def sign_timestamp(self, signers: Sequence[Signer], *, expiry: Expiry, now: float) -> None:
        """Sign a new timestamp for the same snapshot."""
        old = self.timestamp()
        if old is None:
            raise NotFoundError(
                f"Nothing is published in {self.folder} yet.", hint="Publish a component first."
            )
        root = self.root().signed
        self._write_timestamp(root, old.signed.snapshot_meta, old, signers, expiry=expiry, now=now)

    def _write_tip(
        self,
        root: Root,
        snapshot: Snapshot,
        old: Metadata[Timestamp] | None,
        signers: Sequence[Signer],
        *,
        expiry: Expiry,
        now: float,
    ) -> None:
        signed = self._signed(root, snapshot, signers)
        content = self.write(f"metadata/{snapshot.version}.snapshot.json", signed)
        self._write_timestamp(root, _meta(snapshot.version, content), old, signers, expiry=expiry, now=now)

    def _write_timestamp(
        self,
        root: Root,
        snapshot_meta: MetaFile,
        old: Metadata[Timestamp] | None,
        signers: Sequence[Signer],
        *,
        expiry: Expiry,
        now: float,
    ) -> None:
        timestamp = Timestamp(
            version=old.signed.version + 1 if old is not None else 1,
            expires=expiry.of(Timestamp.type, now),
            snapshot_meta=snapshot_meta,
            unrecognized_fields={SIGNED_AT: int(now)},
        )
        self.write(TIMESTAMP, self._signed(root, timestamp, signers))

    def _signed(self, root: Root, content: S, signers: Sequence[Signer]) -> Metadata[S]:
        """The metadata with the signature of every key at hand that its role has."""
        metadata = Metadata(content)
        role = root.roles[content.type]
        for signer in signers:
            if signer.public_key.keyid in role.keyids:
                metadata.sign(signer, append=True)
        if len(metadata.signatures) < role.threshold:
            raise InvalidConfigError(
                f"Role '{content.type}' needs {role.threshold} of its keys; {len(metadata.signatures)} given.",
                hint="Name the repository's online key.",
            )
        return metadata


def _meta(version: int, content: bytes) -> MetaFile:
    return MetaFile.from_data(version, content, ["sha256"])
