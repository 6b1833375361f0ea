"""Let a team sign its own paths, or no longer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Root, Snapshot, Targets, Timestamp

from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import NAME, words_for
from remotes.delegated_roles import (
    current_targets,
    delegated_roles,
    require_own_paths,
    required_role,
    signed_as,
    staged_path,
)
from remotes.repository import STANDARD_EXPIRY, Expiry, Repository
from remotes.repository_files import drop_stale_files
from remotes.target_changes import Published, next_targets, sign_change

_TOP: Final = frozenset({Root.type, Snapshot.type, Targets.type, Timestamp.type})
#: What hosts load of them.
_MOST_ROLES: Final = 32


def delegate(
    folder: Path,
    role: str,
    *,
    paths: Sequence[str],
    keys: Sequence[SSlibKey],
    threshold: int = 1,
    signers: Sequence[Signer],
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Let the holders of these keys sign targets whose paths match, such as ``greeter/*``; replaces what was said of the role.

    Raises:
        InvalidConfigError: the role cannot be so; or its keys change, and the new ones are not among the signers.
        NotFoundError, ConflictError, StorageFullError: as for publish_release.
    """
    _require_role(role, paths, keys, threshold)
    repository = Repository(folder)
    with repository.locked():
        repository.root()
        drop_stale_files(repository)
        roles = delegated_roles(repository)
        if role not in roles and len(roles) >= _MOST_ROLES:
            raise InvalidConfigError(f"There are {_MOST_ROLES} roles already.")
        top = next_targets(repository, expiry, now)
        delegated = DelegatedRole(
            role, [key.keyid for key in keys], threshold, terminating=False, paths=list(paths)
        )
        known = {} if top.delegations is None else dict(top.delegations.keys)
        _set_roles(top, {**roles, role: delegated}, known | {key.keyid: key for key in keys})
        signed = current_targets(repository, role)
        renewed = {}
        if signed is not None:
            require_own_paths(delegated, signed.signed)
            try:
                top.verify_delegate(role, signed.signed_bytes, signed.signatures)
            except RepositoryError:
                renewed[role] = signed_as(delegated, next_targets(repository, expiry, now, role), signers)
        published = sign_change(repository, top, signers, expiry, now, delegated=renewed)
        if renewed:
            (folder / staged_path(role)).unlink(missing_ok=True)
        return published


def undelegate(
    folder: Path,
    role: str,
    *,
    signers: Sequence[Signer],
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Let the role sign nothing any more; what it signed is off the offer, and hosts that run it keep it.

    Raises:
        NotFoundError: there is no such role.
        InvalidConfigError, ConflictError, StorageFullError: as for publish_release.
    """
    repository = Repository(folder)
    with repository.locked():
        drop_stale_files(repository)
        required_role(repository, role)
        top = next_targets(repository, expiry, now)
        roles = {name: each for name, each in delegated_roles(repository).items() if name != role}
        _set_roles(top, roles, {} if top.delegations is None else dict(top.delegations.keys))
        published = sign_change(repository, top, signers, expiry, now)
        (folder / staged_path(role)).unlink(missing_ok=True)
        return published


def role_rows(repository: Repository) -> list[dict[str, Any]]:
    """The delegated roles for people and for ``--json``."""
    rows = []
    for name, role in delegated_roles(repository).items():
        taken = repository.targets(name)
        rows.append(
            {
                "role": name,
                "paths": list(role.paths or []),
                "keys": sorted(role.keyids),
                "threshold": role.threshold,
                "targets": 0 if taken is None else len(taken.signed.targets),
                "expires": "" if taken is None else taken.signed.expires.isoformat(),
                "waiting": (repository.folder / staged_path(name)).is_file(),
            }
        )
    return rows


def _set_roles(top: Targets, roles: dict[str, DelegatedRole], keys: dict[str, Any]) -> None:
    used = {keyid for role in roles.values() for keyid in role.keyids}
    if roles:
        top.delegations = Delegations({keyid: keys[keyid] for keyid in sorted(used)}, roles)
    else:
        top.delegations = None


def _require_role(role: str, paths: Sequence[str], keys: Sequence[SSlibKey], threshold: int) -> None:
    if not NAME.fullmatch(role) or role in _TOP:
        raise InvalidConfigError(
            f"'{role[:80]}' is no name for a role.",
            hint=f"It must be {words_for(NAME)}, and none of TUF's own.",
        )
    if not paths or not all(paths):
        raise InvalidConfigError(f"Role '{role}' has no paths.", hint="Such as 'greeter/*'.")
    if not 1 <= threshold <= len({key.keyid for key in keys}):
        raise InvalidConfigError(
            f"Role '{role}' would need {threshold} signatures of {len(keys)} keys.", hint="Give more keys."
        )
