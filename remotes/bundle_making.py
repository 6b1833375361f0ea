"""Makes a bundle of any source: a publisher's folder, a mirror, or what a host has on its shelf."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from edgehost.domain.errors import DamagedError, NotFoundError
from edgehost.domain.suggestion import did_you_mean
from remotes.bundle_file import BundleFile, BundleWriter, written_bundle
from remotes.repository import ONLINE_ROLES
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, TIMESTAMP
from remotes.trust import CheckRequest, Verdict, check_repository

#: (path, most bytes) -> content or None.
Read = Callable[[str, int], Awaitable[bytes | None]]
#: Rotations of a root that a reader follows, and one to see that there is no other.
_MOST_ROOTS: Final = 257


@dataclass(slots=True)
class BundleContents:
    """What a bundle holds, by its own word until ``verdict`` says that it holds."""

    timestamp: int = 0
    roots: tuple[int, ...] = ()
    expires: dict[str, datetime] = field(default_factory=dict)  # by role
    targets: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # by path: size, digest, whether it is whole
    files: int = 0
    bytes_written: int = 0

    @property
    def valid_until(self) -> datetime | None:
        """When the first of its roles expires."""
        return min(self.expires.values(), default=None)


async def make_bundle(
    read: Read,
    path: Path,
    *,
    components: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> BundleContents:
    """Write a bundle of the source's current state: all metadata, and the chunks of these components, or of all.

    Documents (deployments, firmware) always come along. A release that the source lacks chunks of is left out of a
    bundle of everything, as on a host's shelf, and is an error where its component was named.

    Raises:
        NotFoundError: nothing is published there, or a component that is named is not.
        DamagedError: a file that is named is not there, or is not what was signed.
        RemoteUnreachableError, StorageFullError, TooLargeError.
    """
    wanted = frozenset(components)
    state = await _State.read(read)
    state.require(wanted)
    contents = state.contents()
    chosen = [
        (target_path, target)
        for target_path, target in state.targets()
        if not wanted or target_path.startswith("@") or target_path.partition("/")[0] in wanted
    ]
    chunks = list(dict.fromkeys(chunk for _, target in chosen for chunk in _chunks(target)))
    missing: set[str] = set()
    with written_bundle(path) as bundle:
        for name, content in state.files.items():
            bundle.add(name, content)
        for number, chunk in enumerate(chunks, 1):
            if not await _add_chunk(read, bundle, chunk):
                missing.add(chunk)
            if progress is not None:
                progress(number, len(chunks))
        for target_path, target in chosen:
            whole = missing.isdisjoint(_chunks(target))
            if not whole and wanted:
                raise DamagedError(
                    f"The source lacks chunks of {target_path}.", hint="Mirror the repository again."
                )
            contents.targets[target_path]["whole"] = whole
    contents.files, contents.bytes_written = bundle.files, bundle.bytes_written
    return contents


async def _add_chunk(read: Read, bundle: BundleWriter, chunk: str) -> bool:
    content = await read(f"chunk/{chunk}", CHUNK_BYTES)
    if content is None:
        return False
    if hashlib.sha256(content).hexdigest() != chunk:
        raise DamagedError(
            f"chunk/{chunk} has other bytes than were signed.", hint="Mirror the repository again."
        )
    bundle.add(f"chunk/{chunk}", content)
    return True


async def bundle_contents(bundle: BundleFile) -> BundleContents:
    """What a bundle says that it holds.

    Raises:
        NotFoundError, DamagedError: it holds no state of a repository.
    """

    async def read(path: str, most_bytes: int) -> bytes | None:
        return bundle.read(path, most_bytes)

    state = await _State.read(read)
    contents = state.contents()
    for path, target in state.targets():
        contents.targets[path]["whole"] = all(f"chunk/{chunk}" in bundle.members for chunk in _chunks(target))
    contents.files, contents.bytes_written = len(bundle.members), bundle.mark[2]
    return contents


def check_bundle(bundle: BundleFile, *, root_file: Path, now: float) -> Verdict:
    """What a host that was given this root and knows nothing else would say. Blocking.

    Raises:
        UntrustedReleaseError, InvalidConfigError.
    """
    with tempfile.TemporaryDirectory(prefix="edgehost-") as folder:
        request = CheckRequest(bundle.path.name, Path(folder) / "trusted", root_file, now)
        return check_repository(request, bundle.read)


class _State:
    """The metadata of a source, in the order in which a reader wants it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.roots: list[int] = []
        self.signed: dict[str, Any] = {}  # by role

    @classmethod
    async def read(cls, read: Read) -> _State:
        state = cls()
        timestamp = await read(TIMESTAMP, METADATA_MOST_BYTES)
        if timestamp is None:
            raise NotFoundError("Nothing is published there.", hint="Publish a component first.")
        for version in range(1, _MOST_ROOTS):
            content = await read(f"metadata/{version}.root.json", METADATA_MOST_BYTES)
            if content is None:
                if state.roots:
                    break
                continue  # a host keeps none before the one that it was given
            state.roots.append(version)
            state._take(f"metadata/{version}.root.json", "root", content, Root)
        state._take(TIMESTAMP, Timestamp.type, timestamp, Timestamp)
        version = state.signed[Timestamp.type].snapshot_meta.version
        await state._fetch(read, f"metadata/{version}.snapshot.json", Snapshot.type, Snapshot)
        for name, meta in state.signed[Snapshot.type].meta.items():
            await state._fetch(read, f"metadata/{meta.version}.{name}", name.removesuffix(".json"), Targets)
        return state

    async def _fetch(self, read: Read, path: str, role: str, kind: type) -> None:
        content = await read(path, METADATA_MOST_BYTES)
        if content is None:
            raise DamagedError(
                f"{path} is not there.", hint="Mirror the repository again, or wait for the mirroring."
            )
        self._take(path, role, content, kind)

    def _take(self, path: str, role: str, content: bytes, kind: type) -> None:
        self.files[path] = content
        try:
            signed = Metadata[Any].from_bytes(content).signed
        except RepositoryError as error:
            raise DamagedError(f"{path} is no metadata: {error}.") from None
        if not isinstance(signed, kind):
            raise DamagedError(f"{path} is no {role}.")
        self.signed[role] = signed

    def targets(self) -> Iterator[tuple[str, TargetFile]]:
        seen: set[str] = set()
        for role in self._heard():
            for path, target in self.signed[role].targets.items():
                if path not in seen:  # a path belongs to the first role that has it
                    seen.add(path)
                    yield path, target

    def _heard(self) -> tuple[str, ...]:
        """The roles that hosts listen to; the snapshot names those that were let go as well."""
        delegations = self.signed[Targets.type].delegations if Targets.type in self.signed else None
        names = (delegations and delegations.roles) or {}
        return tuple(role for role in (Targets.type, *names) if role in self.signed)

    def contents(self) -> BundleContents:
        return BundleContents(
            timestamp=self.signed[Timestamp.type].version,
            roots=tuple(self.roots),
            expires={
                role: signed.expires
                for role, signed in self.signed.items()
                if role in {"root", *ONLINE_ROLES, *self._heard()}
            },
            targets={
                path: {"size_bytes": target.length, "digest": target.hashes.get("sha256", ""), "whole": False}
                for path, target in self.targets()
            },
        )

    def require(self, components: Iterable[str]) -> None:
        known = {path.partition("/")[0] for path, _ in self.targets()}
        for component in components:
            if component not in known:
                raise NotFoundError(
                    f"Component '{component}' is not on offer.", hint=did_you_mean(component, sorted(known))
                )


def _chunks(target: TargetFile) -> tuple[str, ...]:
    chunks = (target.custom or {}).get("chunks", ())
    return tuple(str(chunk) for chunk in chunks)
