"""What the verbs of ``edgehost remote`` do."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.command_table import OK
from edgehost.cli.mirror_targets import MirrorTarget, mirror_to_all, mirrored_lines, read_target
from edgehost.cli.output import Output, size, table
from edgehost.cli.signing_keys import key_names, public_keys, require_private, signers
from edgehost.cli.usage import UsageError
from remotes.delegation import delegate, undelegate
from remotes.keys import PRIVATE_SUFFIX
from remotes.publisher import refresh_metadata, show_repository, withdraw_release
from remotes.repository import Repository
from remotes.root_ceremony import STAGED, RootSigning, init_repository, rotate_root, sign_root, sign_root_file
from remotes.target_changes import Published


def _now() -> float:
    return SystemClock().now()


def _init(args: argparse.Namespace, out: Output) -> int:
    folder = args.folder.expanduser()
    root_keys = public_keys(args.root_key)
    online_keys = public_keys(args.online_key)
    names = key_names([*args.root_key, *args.key])
    # Only root keys sign a root; the online ones sign the first, empty state below.
    progress = init_repository(
        folder,
        root_keys=root_keys,
        root_threshold=args.threshold or _majority(len(root_keys)),
        online_keys=online_keys,
        signers=signers([*args.root_key, *require_private(args.key)]),
        now=_now(),
        names=names,
    )
    if progress.complete:
        _begin(folder, args.online_key)
    return _show_progress(folder, progress, names, out)


def _sign(args: argparse.Namespace, out: Output) -> int:
    path = args.folder.expanduser()
    names, keys = key_names(args.key), signers(require_private(args.key))
    if path.is_file():
        if args.merge:
            raise UsageError("--merge brings copies into a repository: name its folder")
        signed_by = sign_root_file(path, keys, old_root=args.old_root, names=names)
        out.result(
            {"file": str(path), "signed_by": list(signed_by)},
            f"{path} is signed by {_named(signed_by, names)}.",
        )
        return OK
    if args.old_root is not None:
        raise UsageError("--old-root is for a copy: a repository has its old root")
    progress = sign_root(path, keys, merge=[Path(name) for name in args.merge], names=names)
    return _show_progress(path, progress, names, out)


def _rotate(args: argparse.Namespace, out: Output) -> int:
    folder = args.folder.expanduser()
    root_keys = None if args.root_key is None else public_keys(args.root_key)
    threshold = args.threshold
    if threshold is None and root_keys is not None:
        threshold = _majority(len(root_keys))
    names = key_names([*(args.root_key or []), *args.key])
    progress = rotate_root(
        folder,
        root_keys=root_keys,
        root_threshold=threshold,
        online_keys=None if args.online_key is None else public_keys(args.online_key),
        signers=signers([*(args.root_key or []), *require_private(args.key)]),
        now=_now(),
        names=names,
    )
    if progress.complete:
        _begin(folder, args.online_key or [])
    return _show_progress(folder, progress, names, out)


def _begin(folder: Path, online_key: list[str]) -> None:
    """Sign a state under the new root when a key for it is at hand, so that hosts can follow at once."""
    if keys := signers(online_key):
        refresh_metadata(folder, signers=keys, now=_now())


def _refresh(args: argparse.Namespace, out: Output) -> int:
    folder = args.folder.expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    published = refresh_metadata(folder, signers=signers(require_private(args.key)), now=_now())
    return _mirrored(folder, targets, published, out, f"{folder} is signed anew.")


def _withdraw(args: argparse.Namespace, out: Output) -> int:
    component, at, version = args.release.partition("@")
    if not at or not version:
        raise UsageError(f"'{args.release}' is no NAME@VERSION")
    folder = args.folder.expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    published = withdraw_release(
        folder, component, version, signers=signers(require_private(args.key)), now=_now()
    )
    return _mirrored(folder, targets, published, out, f"{component} {version} is off the offer.")


def _delegate(args: argparse.Namespace, out: Output) -> int:
    folder = args.folder.expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    private = [name for name in args.team_key if name.endswith(PRIVATE_SUFFIX)]
    published = delegate(
        folder,
        args.role,
        paths=args.paths,
        keys=public_keys(args.team_key),
        threshold=args.threshold,
        signers=signers([*require_private(args.key), *private]),
        now=_now(),
    )
    line = f"'{args.role}' may sign {', '.join(args.paths)}: 'edgehost publish {folder} FILE.wasm --key TEAM.key'."
    return _mirrored(folder, targets, published, out, line)


def _undelegate(args: argparse.Namespace, out: Output) -> int:
    folder = args.folder.expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    published = undelegate(folder, args.role, signers=signers(require_private(args.key)), now=_now())
    return _mirrored(folder, targets, published, out, f"'{args.role}' may sign nothing any more.")


def _mirror(args: argparse.Namespace, out: Output) -> int:
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    return _mirrored(args.folder.expanduser(), targets, _NOTHING_NEW, out)


def _mirrored(
    folder: Path, targets: list[MirrorTarget], published: Published, out: Output, *lines: str
) -> int:
    mirrored = asyncio.run(
        mirror_to_all(folder, targets, out, fresh=published.fresh, before=published.before)
    )
    out.result(
        {
            "repository": str(folder),
            "mirrored": {target: asdict(counts) for target, counts in mirrored.items()},
        },
        *lines,
        *mirrored_lines(mirrored),
    )
    return OK


def _show(args: argparse.Namespace, out: Output) -> int:
    document = show_repository(args.folder.expanduser(), now=_now())
    out.result(document, *_show_lines(document))
    return OK


def _show_lines(document: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    root, staged = document["root"], document["staged_root"]
    if root is not None:
        lines += [
            f"root      version {root['version']}, {root['threshold']} of {len(root['keys'])} keys: {root['file']}",
            f"  keys    {', '.join(root['keys'])}",
            f"  online  {', '.join(root['online_keys'])}",
        ]
    if staged is not None:
        lines.append(
            f"waiting   root version {staged['version']} lacks {staged['missing']} signature{'s'[: staged['missing'] > 1]}; "
            f"may sign: {', '.join(staged['may_sign'])}"
        )
    roles = [
        (name, role["version"], role["expires"][:10], f"{role['days_left']:g}")
        for name, role in document["roles"].items()
    ]
    if roles:
        lines += ["", *table(("role", "version", "expires", "days left"), roles)]
    releases = [
        (
            release["component"],
            release["version"],
            release["sequence"],
            size(release["size_bytes"]),
            ", ".join(release["device_classes"]),
            release["digest"][:12],
        )
        for release in document["releases"]
    ]
    headings = ("component", "version", "seq", "size", "for", "sha256")
    lines += ["", *(table(headings, releases) if releases else ["No component is on offer."])]
    documents = [
        (
            each["kind"],
            each["name"],
            each["version"],
            each["sequence"],
            size(each["size_bytes"]),
            each["digest"][:12],
        )
        for each in document["documents"]
    ]
    if documents:
        lines += ["", *table(("kind", "name", "version", "seq", "size", "sha256"), documents)]
    delegated = [
        (
            role["role"],
            ", ".join(role["paths"]),
            f"{role['threshold']} of {len(role['keys'])}",
            role["targets"],
            role["expires"][:10] or "-",
            "waits for 'remote refresh'" if role["waiting"] else "",
        )
        for role in document["delegated"]
    ]
    if delegated:
        lines += ["", *table(("team", "may sign", "keys", "signs", "expires", ""), delegated)]
    return lines


def _show_progress(folder: Path, progress: RootSigning, names: Mapping[str, str], out: Output) -> int:
    file = folder / (f"metadata/{progress.version}.root.json" if progress.complete else STAGED)
    document = {
        "repository": str(folder),
        "root_file": str(file),
        "root_version": progress.version,
        "complete": progress.complete,
        "missing": progress.missing,
        "signed_by": list(progress.signed_by),
        "may_sign": list(progress.may_sign),
    }
    if progress.complete:
        lines = [f"Root version {progress.version} is in force: {file}."]
        if progress.version == 1:
            lines.append("Give hosts a copy of that file as the 'root' of this remote.")
        if Repository(folder).timestamp() is None:
            lines.append(
                f"Next: 'edgehost remote refresh {folder} --key ONLINE.key' signs the first, empty state."
            )
    else:
        lines = [
            f"Root version {progress.version} waits in {file} for {progress.missing} more signature{'s'[: progress.missing > 1]}.",
            f"Next: 'edgehost remote sign {folder} --key NAME.key' by one of {_named(progress.may_sign, names)}.",
        ]
    out.result(document, *lines)
    return OK


def _named(keyids: Iterable[str], names: Mapping[str, str]) -> str:
    """Key ids for people, each with its file where that is known."""
    return ", ".join(f"{keyid} ({names[keyid]})" if keyid in names else keyid for keyid in keyids)


def _majority(count: int) -> int:
    return count // 2 + 1


_NOTHING_NEW: Final = Published(release=None, fresh=frozenset(), before=b"")

VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Output], int]]] = {
    "init": _init,
    "sign": _sign,
    "rotate": _rotate,
    "refresh": _refresh,
    "show": _show,
    "withdraw": _withdraw,
    "delegate": _delegate,
    "undelegate": _undelegate,
    "mirror": _mirror,
}
