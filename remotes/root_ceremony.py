"""Making and replacing the root of trust: several holders sign, one after the other, offline if they like.

A root that still lacks signatures waits in ``staged/root.json``. The file may travel on a stick: each holder
signs it with ``sign_root_file`` and gives it back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from edgehost.domain.errors import ConflictError, InvalidConfigError, NotFoundError
from remotes.durable_file import read_bounded, write_durably
from remotes.repository import ONLINE_ROLES, STANDARD_EXPIRY, Expiry, Repository

STAGED: Final = "staged/root.json"
_ROOT_MOST_BYTES: Final = 131_072
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RootSigning:
    """How far the signing of a root is."""

    version: int
    signed_by: tuple[str, ...]  # key ids
    may_sign: tuple[str, ...]  # key ids that have not signed yet
    missing: int  # how many more must sign, at least

    @property
    def complete(self) -> bool:
        """Whether the root is in force."""
        return self.missing == 0


def init_repository(
    folder: Path,
    *,
    root_keys: Sequence[SSlibKey],
    root_threshold: int,
    online_keys: Sequence[SSlibKey],
    signers: Sequence[Signer] = (),
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
    names: Mapping[str, str] = _NO_NAMES,
) -> RootSigning:
    """Stage the first root and sign it with what is at hand; ``names`` are the files of keys by id, for messages.

    Raises:
        ConflictError: there is a repository in the folder.
        InvalidConfigError: the threshold cannot be met, or a key was given twice.
    """
    repository = Repository(folder)
    with repository.locked():
        if repository.root_versions() or (folder / STAGED).exists():
            raise ConflictError(f"There is a repository in {folder}.", hint="Use 'edgehost remote rotate'.")
        root = Root(version=1, expires=expiry.of(Root.type, now), consistent_snapshot=True)
        _set_keys(root, Root.type, root_keys, root_threshold)
        for role in ONLINE_ROLES:
            _set_keys(root, role, online_keys, 1)
        return _staged(repository, Metadata(root), signers, names)


def rotate_root(
    folder: Path,
    *,
    root_keys: Sequence[SSlibKey] | None = None,
    root_threshold: int | None = None,
    online_keys: Sequence[SSlibKey] | None = None,
    signers: Sequence[Signer] = (),
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
    names: Mapping[str, str] = _NO_NAMES,
) -> RootSigning:
    """Stage the next root; what is not given stays as it is, and the expiry moves on in any case.

    It needs the signatures of the old threshold of old keys and of the new threshold of new keys. Once it is
    complete, ``refresh_metadata`` signs the rest again where online keys have changed.

    Raises:
        ConflictError: another root waits for signatures.
        InvalidConfigError: the threshold cannot be met, or a key was given twice.
        NotFoundError: there is no repository.
    """
    repository = Repository(folder)
    with repository.locked():
        if (folder / STAGED).exists():
            raise ConflictError(
                f"{folder / STAGED} still waits for signatures.", hint="Sign it, or delete it to begin anew."
            )
        root = repository.root().signed
        root.version += 1
        root.expires = expiry.of(Root.type, now)
        if root_keys is not None or root_threshold is not None:
            keys = root_keys if root_keys is not None else _keys(root, Root.type)
            _set_keys(root, Root.type, keys, root_threshold or root.roles[Root.type].threshold)
        if online_keys is not None:
            for role in ONLINE_ROLES:
                _set_keys(root, role, online_keys, 1)
        return _staged(repository, Metadata(root), signers, names)


def sign_root(
    folder: Path,
    signers: Sequence[Signer],
    *,
    merge: Sequence[Path] = (),
    names: Mapping[str, str] = _NO_NAMES,
) -> RootSigning:
    """Sign the staged root and put it in force once enough have; ``merge`` brings signed copies together.

    Raises:
        NotFoundError: no root waits for signatures.
        InvalidConfigError: a key has no say in this root, or a copy is of another root.
    """
    repository = Repository(folder)
    with repository.locked():
        if not (folder / STAGED).exists():
            raise NotFoundError(
                f"No root waits for signatures in {folder}.", hint="See 'edgehost remote show'."
            )
        staged = _read_root(folder / STAGED)
        for file in merge:
            copy = _read_root(file)
            if copy.signed_bytes != staged.signed_bytes:
                raise InvalidConfigError(f"{file} is another root than {folder / STAGED}.")
            staged.signatures.update(copy.signatures)
        return _staged(repository, staged, signers, names)


def sign_root_file(
    file: Path,
    signers: Sequence[Signer],
    *,
    old_root: Path | None = None,
    names: Mapping[str, str] = _NO_NAMES,
) -> tuple[str, ...]:
    """Sign a copy of a staged root away from its repository; returns the ids of the keys that signed it.

    ``old_root`` is the root before it, whose holders have a say too.

    Raises:
        InvalidConfigError: the file is no root, or a key has no say in it.
    """
    root = _read_root(file)
    holders = set(root.signed.roles[Root.type].keyids)
    if old_root is not None:
        holders.update(_read_root(old_root).signed.roles[Root.type].keyids)
    hint = "Sign with a key of this root" + (
        "; a holder of the root before it names that root with --old-root."
        if root.signed.version > 1
        else "."
    )
    _require_holders(signers, holders, root.signed.version, names, hint=hint)
    for signer in signers:
        root.sign(signer, append=True)
    write_durably(file, root.to_bytes())
    return tuple(sorted(root.signatures))


def root_signing(folder: Path) -> RootSigning | None:
    """How far the staged root is; None when none waits."""
    if not (folder / STAGED).exists():
        return None
    return _progress(Repository(folder), _read_root(folder / STAGED))


def _staged(
    repository: Repository, root: Metadata[Root], signers: Sequence[Signer], names: Mapping[str, str]
) -> RootSigning:
    """Sign, stage, and put in force when complete."""
    staged = repository.folder / STAGED
    progress = _progress(repository, root)
    holders = {*progress.may_sign, *progress.signed_by}
    hint = "Sign with a key of the old or of the new root."
    _require_holders(signers, holders, root.signed.version, names, hint=hint)
    for signer in signers:
        root.sign(signer, append=True)
    progress = _progress(repository, root)
    if progress.complete:
        repository.write(f"metadata/{root.signed.version}.root.json", root)
        staged.unlink(missing_ok=True)
    else:
        staged.parent.mkdir(exist_ok=True)
        write_durably(staged, root.to_bytes())
    return progress


def _require_holders(
    signers: Sequence[Signer], holders: Collection[str], version: int, names: Mapping[str, str], *, hint: str
) -> None:
    for keyid in (signer.public_key.keyid for signer in signers):
        if keyid not in holders:
            key = f"{names[keyid]} (key {keyid[:16]})" if keyid in names else f"Key {keyid[:16]}"
            raise InvalidConfigError(
                f"{key} is none of this root's holders: it has no say in root {version}.", hint=hint
            )


def _progress(repository: Repository, root: Metadata[Root]) -> RootSigning:
    previous = repository.root().signed if root.signed.version > 1 else None
    result = root.signed.get_root_verification_result(previous, root.signed_bytes, root.signatures)
    return RootSigning(
        version=root.signed.version,
        signed_by=tuple(sorted(result.signed)),
        may_sign=tuple(sorted(result.unsigned)),
        missing=max(result.first.missing, result.second.missing),
    )


def _read_root(file: Path) -> Metadata[Root]:
    content = read_bounded(file, _ROOT_MOST_BYTES)
    try:
        root = Metadata[Root].from_bytes(content or b"")
    except RepositoryError:
        raise InvalidConfigError(f"{file} is no root of a repository.") from None
    if root.signed.type != Root.type:
        raise InvalidConfigError(f"{file} is '{root.signed.type}' metadata, not a root.")
    return root


def _keys(root: Root, role: str) -> list[SSlibKey]:
    keys = [root.keys[keyid] for keyid in root.roles[role].keyids]
    return [key for key in keys if isinstance(key, SSlibKey)]


def _set_keys(root: Root, role: str, keys: Sequence[SSlibKey], threshold: int) -> None:
    if len({key.keyid for key in keys}) != len(keys):
        raise InvalidConfigError(f"A key is given twice for role '{role}'.")
    if not 1 <= threshold <= len(keys):
        raise InvalidConfigError(
            f"Role '{role}' has {len(keys)} keys, so {threshold} of them cannot be required.",
            hint="Give more keys or a smaller threshold.",
        )
    for keyid in tuple(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in keys:
        root.add_key(key, role)
    root.roles[role].threshold = threshold
