"""Dates that hold for long, for a bundle alone.

A bundle for a site without network must hold until the next one comes. Its dates are signed in the repository, so
that versions go on counting in one row; when the bundle is made, the repository gets its usual short dates again, as
the next version. So mirrors never serve the long ones, and a host that has seen any later state refuses them as a
rollback. What is left is the risk that the site takes: who shows the bundle to a host that sees nothing else can keep
it at this state until the dates end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from securesystemslib.signer import Signer

from edgehost.domain.errors import ConflictError
from remotes.publisher import refresh_metadata
from remotes.repository import STANDARD_EXPIRY, Repository
from remotes.target_changes import next_targets, sign_change

MOST_DAYS: Final = 3650


@contextmanager
def long_lived_state(folder: Path, signers: Sequence[Signer], *, days: int, now: float) -> Iterator[None]:
    """In the block the repository's state holds for ``days``; afterwards its timestamp is short again, and newer.

    A kill in between leaves the long dates; the next publication or refresh replaces them.

    Raises:
        ConflictError: nobody should sign for so long.
        NotFoundError, InvalidConfigError, StorageFullError: as for refresh_metadata.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ConflictError(f"--valid-days {days}: 1 to {MOST_DAYS} are possible.")
    long = replace(
        STANDARD_EXPIRY,
        timestamp_days=days,
        snapshot_days=max(days, STANDARD_EXPIRY.snapshot_days),
        targets_days=max(days, STANDARD_EXPIRY.targets_days),
    )
    repository = Repository(folder)
    repository.root()
    with repository.locked():
        sign_change(repository, next_targets(repository, long, now), signers, long, now)
    try:
        yield
    finally:
        refresh_metadata(folder, signers=signers, now=now)
