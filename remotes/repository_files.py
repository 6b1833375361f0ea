"""Which files of a repository readers may still need."""

from __future__ import annotations

from collections.abc import Iterable

from tuf.api.metadata import Metadata, Snapshot, Targets

from remotes.delegated_roles import current_targets, delegated_roles
from remotes.repository import Repository
from remotes.transport import TIMESTAMP


def needed_files(repository: Repository) -> tuple[str, ...]:
    """Paths in the order in which they must appear: what is named before what names it.

    The state before the current one belongs to it: a reader may be in the middle of it.
    """
    snapshot = repository.snapshot()
    chunks: dict[str, None] = {}
    metadata: list[str] = []
    for version in (snapshot.signed.version - 1, snapshot.signed.version) if snapshot is not None else ():
        path = f"metadata/{version}.snapshot.json"
        if not (repository.folder / path).is_file():
            continue
        for name, meta in repository.read(path, Snapshot).signed.meta.items():
            targets_path = f"metadata/{meta.version}.{name}"
            if (repository.folder / targets_path).is_file():
                metadata.append(targets_path)
                chunks |= dict.fromkeys(_chunks(repository.read(targets_path, Targets)))
        metadata.append(path)
    roots = [f"metadata/{version}.root.json" for version in repository.root_versions()]
    tip = [TIMESTAMP] if snapshot is not None else []
    return (*chunks, *roots, *dict.fromkeys(metadata), *tip)


def stale_files(repository: Repository) -> tuple[str, ...]:
    """Paths that no reader needs any more."""
    needed = set(needed_files(repository))
    for role in delegated_roles(repository):  # what waits to be taken in is not mirrored, and not dropped
        waiting = current_targets(repository, role)
        needed.update(() if waiting is None else _chunks(waiting))
    found = (
        f"{kind}/{file.name}"
        for kind in ("metadata", "chunk")
        for file in (repository.folder / kind).iterdir()
        if not file.name.startswith(".")
    )
    return tuple(path for path in found if path not in needed)


def drop_stale_files(repository: Repository) -> None:
    """Delete what no reader needs; each mirroring since the last change has told the mirrors."""
    for path in stale_files(repository):
        (repository.folder / path).unlink(missing_ok=True)


def _chunks(targets: Metadata[Targets]) -> Iterable[str]:
    for target in targets.signed.targets.values():
        custom = target.custom or {}
        for holder in (custom, *custom.get("deltas", ())):
            for chunk in holder.get("chunks", ()):
                yield f"chunk/{chunk}"
