"""Drop what the shelf need not keep: only the live release and the last good ones stay."""

from __future__ import annotations

from edgehost.domain.release_life import Release, Stage
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.usecases.release_ledger import ReleaseLedger

#: Stages whose file is in use or about to be.
_IN_USE = frozenset({Stage.SHELVED, Stage.STAGED, Stage.PROBED, Stage.CANDIDATE, Stage.LIVE, Stage.DRAINING})

#: What the ledger remembers of a component; a quarantined digest is never forgotten before the others.
HISTORY_PER_COMPONENT = 50


async def collect_shelf(shelf: ReleaseShelf, ledger: ReleaseLedger, *, keep_good: int) -> tuple[str, ...]:
    """Keep what is in use and ``keep_good`` earlier good releases of each component; returns what was dropped."""
    keep = set(ledger.beside())
    forgotten: list[str] = []
    for component in {release.component for release in ledger.all()}:
        releases = ledger.of(component)
        keep.update(release.digest for release in releases if release.stage in _IN_USE)
        keep.update(release.digest for release in ledger.good(component)[:keep_good])
        forgotten += [release.digest for release in _beyond_history(releases, keep)]
    dropped = await shelf.collect(keep)
    if forgotten:
        await ledger.forget(forgotten)
    return dropped


def _beyond_history(releases: tuple[Release, ...], keep: set[str]) -> list[Release]:
    surplus = len(releases) - HISTORY_PER_COMPONENT
    if surplus <= 0:
        return []
    droppable = [release for release in releases if release.digest not in keep]
    droppable.sort(key=lambda release: (release.stage is Stage.QUARANTINED, release.changed_at))
    return droppable[:surplus]
