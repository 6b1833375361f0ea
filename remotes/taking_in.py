"""What the holder of the online key takes in of teams, checked as hosts will check the whole of it.

Hosts refuse a repository for one role that they cannot read, since a publisher is trusted or is not. So that one team
(or whoever has its key) cannot keep the others' releases from hosts, what it signed is looked at before it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tuf.api.metadata import Metadata, Targets

from edgehost.domain.errors import InvalidConfigError, UntrustedReleaseError
from remotes.clock_floor import from_seconds
from remotes.delegated_roles import all_targets, delegated_roles, staged_path
from remotes.repository import Repository
from remotes.signed_targets import SignedTargets
from remotes.target_changes import counted

#: Hosts never go back to a smaller sequence, so a thief's last one would be the last for good.
_MOST_SEQUENCES: Final = 100_000


def require_acceptable(repository: Repository, waiting: Mapping[str, Metadata[Targets]], now: float) -> None:
    """Check that hosts will take the repository with what waits.

    Raises:
        InvalidConfigError: they would refuse all of it.
    """
    for name, metadata in waiting.items():
        if metadata.signed.is_expired(from_seconds(now)):
            raise _refused(repository, name, f"it expired at {metadata.signed.expires:%Y-%m-%d %H:%M} UTC")
    before = _newest(_signed(repository, {}), (each for _, each in all_targets(repository, waiting=False)))
    try:
        after = _newest(_signed(repository, waiting), (each.signed for each in waiting.values()))
    except UntrustedReleaseError as error:
        raise _refused(repository, ", ".join(waiting), error.message) from error
    for what, sequence in after.items():
        if sequence > before.get(what, 0) + _MOST_SEQUENCES:
            raise _refused(repository, ", ".join(waiting), f"{what} goes on with sequence {sequence}")


def _signed(repository: Repository, waiting: Mapping[str, Metadata[Targets]]) -> SignedTargets:
    """All that hosts would read, with what waits or without."""
    signed = SignedTargets(repository.folder.name)
    for name, role in {Targets.type: None, **delegated_roles(repository)}.items():
        taken = waiting.get(name) or repository.targets(name)
        if taken is not None:
            signed.take(name, taken.signed, role)
    return signed


def _newest(signed: SignedTargets, roles: Iterable[Targets]) -> dict[str, int]:
    """The largest sequence of each name, by what is signed and by what the roles say of what was."""
    found: dict[str, int] = {}
    counts = [
        *((offer.component, offer.sequence) for offer in signed.offers()),
        *((f"@{each.kind}/{each.name}", each.sequence) for each in signed.documents()),
        *(count for role in roles for count in counted(role).items()),
    ]
    for what, sequence in counts:
        found[what] = max(found.get(what, 0), sequence)
    return found


def _refused(repository: Repository, role: str, why: str) -> InvalidConfigError:
    staged = staged_path(role) if "," not in role else f"What waits of {role}"
    return InvalidConfigError(
        f"{staged} is not taken in, since hosts would refuse the repository with it: {why.rstrip('.')}.",
        hint=f"Let the team publish again, or delete what waits in {repository.folder / 'staged'}.",
    )
