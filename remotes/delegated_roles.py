"""Roles that the holder of the online key lets sign some paths: a team its own components, with its own key.

A team need not have the online key: what it signs waits in ``staged/ROLE.json`` until the holder of that key takes it
in with the next refresh. Hosts check the team's signature, and that it signs nothing but its own paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Metadata, Snapshot, Targets, Timestamp

from edgehost.domain.errors import ConflictError, InvalidConfigError, NotFoundError
from edgehost.domain.suggestion import did_you_mean
from remotes.durable_file import write_durably
from remotes.repository import Repository
from remotes.transport import METADATA_MOST_BYTES

_STAGED: Final = "staged"


def staged_path(role: str) -> str:
    """Where what a role has signed waits."""
    return f"{_STAGED}/{role}.json"


def delegated_roles(repository: Repository) -> dict[str, DelegatedRole]:
    """The roles by name, in the order in which hosts ask them."""
    top = repository.targets()
    delegations = None if top is None else top.signed.delegations
    return {} if delegations is None else dict(delegations.roles or {})


def current_targets(repository: Repository, role: str) -> Metadata[Targets] | None:
    """What a role has signed last, taken in or not; None when it has signed nothing."""
    taken = repository.targets(role)
    if role == Targets.type or not (repository.folder / staged_path(role)).is_file():
        return taken
    waiting = repository.read(staged_path(role), Targets)
    return waiting if taken is None or waiting.signed.version > taken.signed.version else taken


def all_targets(repository: Repository, *, waiting: bool = True) -> Iterator[tuple[str, Targets]]:
    """Every role that has signed something, in the order of hosts; with or without what waits."""
    for role in (Targets.type, *delegated_roles(repository)):
        found = current_targets(repository, role) if waiting else repository.targets(role)
        if found is not None:
            yield role, found.signed


def role_for(repository: Repository, path: str, signers: Sequence[Signer]) -> str:
    """Which role these keys sign a path for: the top one where they can, else the one whose path it is.

    Raises:
        InvalidConfigError: the keys are a team's, and the path is not.
    """
    keys = {signer.public_key.keyid for signer in signers}
    if keys & set(repository.root().signed.roles[Targets.type].keyids):
        return Targets.type
    mine = [role for role in delegated_roles(repository).values() if keys & set(role.keyids)]
    for role in mine:
        if role.is_delegated_path(path):
            return role.name
    if mine:
        raise InvalidConfigError(
            f"Role '{mine[0].name}' may sign {', '.join(mine[0].paths or [])}, not {path}.",
            hint="The holder of the online key widens it with 'edgehost remote delegate'.",
        )
    return Targets.type  # which will say that it lacks a key


def has_online_key(repository: Repository, signers: Sequence[Signer]) -> bool:
    """Whether these keys can make a state current."""
    keys = {signer.public_key.keyid for signer in signers}
    roles = repository.root().signed.roles
    return all(
        len(keys & set(roles[name].keyids)) >= roles[name].threshold
        for name in (Snapshot.type, Timestamp.type)
    )


def signed_by_role(
    repository: Repository, role: str, targets: Targets, signers: Sequence[Signer]
) -> Metadata[Targets]:
    """The targets with the signature of every key at hand that the role has.

    Raises:
        InvalidConfigError: there are too few.
    """
    return signed_as(delegated_roles(repository)[role], targets, signers)


def signed_as(delegated: DelegatedRole, targets: Targets, signers: Sequence[Signer]) -> Metadata[Targets]:
    """As ``signed_by_role``, for a role that may not be in force yet."""
    metadata = Metadata(targets)
    for signer in signers:
        if signer.public_key.keyid in delegated.keyids:
            metadata.sign(signer, append=True)
    if len(metadata.signatures) < delegated.threshold:
        raise InvalidConfigError(
            f"Role '{delegated.name}' needs {delegated.threshold} of its keys; {len(metadata.signatures)} given.",
            hint="Name the team's key beside the online one: '--key TEAM.key'.",
        )
    return metadata


def stage(repository: Repository, role: str, signed: Metadata[Targets]) -> None:
    """Let it wait for the holder of the online key."""
    content: bytes = signed.to_bytes()
    if len(content) > METADATA_MOST_BYTES:
        raise ConflictError(
            f"{role}.json would have {len(content)} bytes; hosts take {METADATA_MOST_BYTES}.",
            hint="Keep fewer releases of each component.",
        )
    (repository.folder / _STAGED).mkdir(exist_ok=True)
    write_durably(repository.folder / staged_path(role), content)


def waiting_roles(repository: Repository) -> dict[str, Metadata[Targets]]:
    """What teams have signed and nobody has taken in yet, checked as hosts will check it.

    Raises:
        InvalidConfigError: one is not signed by its role's keys, or signs what is not the role's.
    """
    top = repository.targets()
    found: dict[str, Metadata[Targets]] = {}
    for name, role in delegated_roles(repository).items():
        if top is None or not (repository.folder / staged_path(name)).is_file():
            continue
        metadata = repository.read(staged_path(name), Targets)
        taken = repository.targets(name)
        if taken is not None and metadata.signed.version <= taken.signed.version:
            continue  # it was taken in, and a crash left the file
        try:
            top.signed.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
        except RepositoryError as error:
            raise InvalidConfigError(
                f"{staged_path(name)} is not signed as role '{name}' is now: {error}.",
                hint=f"Let the team publish again, or delete {repository.folder / staged_path(name)}.",
            ) from error
        require_own_paths(role, metadata.signed)
        found[name] = metadata
    return found


def require_own_paths(role: DelegatedRole, targets: Targets) -> None:
    """Check that hosts will not refuse the repository for what the role signs.

    Raises:
        InvalidConfigError: it signs a path that is not its own.
    """
    foreign = [path for path in targets.targets if not role.is_delegated_path(path)]
    if foreign:
        raise InvalidConfigError(
            f"Role '{role.name}' signs {foreign[0]}, but may sign {', '.join(role.paths or [])} only.",
            hint="Let the team withdraw it first, or widen the role's paths.",
        )


def required_role(repository: Repository, name: str) -> DelegatedRole:
    """The role.

    Raises:
        NotFoundError: there is none of this name.
    """
    roles = delegated_roles(repository)
    if name not in roles:
        raise NotFoundError(f"There is no role '{name}'.", hint=did_you_mean(name, roles))
    return roles[name]
