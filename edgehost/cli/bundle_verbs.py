"""What the verbs of ``edgehost bundle`` do."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_config
from edgehost.cli.output import Output, size, table
from edgehost.cli.progress import Progress
from edgehost.cli.signing_keys import require_private, signers
from edgehost.cli.usage import UsageError
from edgehost.config import Config
from edgehost.config_carriers import StickCarrier
from edgehost.config_tables import RemoteSettings
from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError, UnavailableError
from remotes.bundle_file import SUFFIX, read_bundle
from remotes.bundle_making import BundleContents, Read, bundle_contents, check_bundle, make_bundle
from remotes.bundle_report import REPORT_SUFFIX, Outcome
from remotes.durable_file import fresh_file, read_bounded
from remotes.long_lived_state import long_lived_state
from remotes.stick_remote import inbox_of

_REPORT_MOST_BYTES: Final = 1_048_576
_LOOK_S: Final = 0.1
#: A host writes what became of releases with its next look, and soon.
_WRITING_S: Final = 0.5
_COPY_BYTES: Final = 1_048_576
#: Outcomes that an operator wants to hear of by the exit code.
_BAD: Final = (Outcome.REFUSED, Outcome.UNREADABLE)


def _create(args: argparse.Namespace, out: Output) -> int:
    file = args.file.expanduser()
    if file.suffix != SUFFIX:
        raise UsageError(f"hosts look for files that end in {SUFFIX}: '{file}' does not")
    if args.valid_days is None:
        if args.key:
            raise UsageError("--key signs nothing without --valid-days")
        contents = asyncio.run(_made(args, file, out))
    else:
        if not args.key or args.from_host or "://" in args.source:
            raise UsageError("--valid-days signs: it needs --key, and the repository's own folder")
        keys = signers(require_private(args.key))
        folder, now = Path(args.source).expanduser(), SystemClock().now()
        with long_lived_state(folder, keys, days=args.valid_days, now=now):
            contents = asyncio.run(_made(args, file, out))
    document = {"bundle": str(file), **_document(contents)}
    out.result(document, f"{file}: {_summary(contents)}", *_validity(contents), *_content_lines(contents))
    return OK


async def _made(args: argparse.Namespace, file: Path, out: Output) -> BundleContents:
    with Progress(f"writing {file}", out) as progress:
        async with _opened_source(args) as read:
            return await make_bundle(read, file, components=args.component, progress=progress.moved_to)


@asynccontextmanager
async def _opened_source(args: argparse.Namespace) -> AsyncIterator[Read]:
    source: str = args.source
    if args.from_host:
        async with _opened_shelf(host_config(args), source) as read:
            yield read
        return
    if source.startswith(("http://", "https://")):
        from remotes.http_options import HttpOptions  # noqa: PLC0415 - where it is read over HTTP
        from remotes.http_transport import open_http_transport  # noqa: PLC0415

        async with open_http_transport(source, HttpOptions(ca_file=args.ca_file)) as web:
            yield lambda path, most_bytes: web.fetch(path, most_bytes=most_bytes)
        return
    from edgehost.cli.mirror_targets import read_target  # noqa: PLC0415 - MQTT is slow to import

    target = read_target(source, ca_file=args.ca_file)
    if target.folder is not None and not target.folder.is_dir():
        raise NotFoundError(
            f"There is no folder {target.folder}.", hint="Name a repository or a mirror of one."
        )
    async with target.opened() as transport:
        yield lambda path, most_bytes: transport.fetch(path, most_bytes=most_bytes)


@asynccontextmanager
async def _opened_shelf(config: Config, remote: str) -> AsyncIterator[Read]:
    """What a host has; its files are only read, so that it may run meanwhile."""
    from edgehost.cli.shelf_files import ShelfFiles  # noqa: PLC0415 - rarely asked for
    from remotes.shelf_repository import open_shelf_repository  # noqa: PLC0415

    if remote not in {each.name for each in config.remotes}:
        raise NotFoundError(
            f"The host has no remote '{remote}'.", hint="See [[remotes]] in its configuration."
        )
    shelf = ShelfFiles(config.host.data / "releases")
    async with open_shelf_repository(config.host.data / "remotes" / remote / "trusted", shelf) as repository:
        yield repository.read


def _show(args: argparse.Namespace, out: Output) -> int:
    bundle = read_bundle(args.file.expanduser())
    contents = asyncio.run(bundle_contents(bundle))
    document: dict[str, Any] = {"bundle": str(args.file), **_document(contents), "holds": None}
    lines = [f"{args.file}: {_summary(contents)}", *_validity(contents), *_content_lines(contents)]
    code = OK
    if args.root is None:
        lines += ["", "Not checked: --root names the root.json from which its signatures must hold."]
    else:
        try:
            check_bundle(bundle, root_file=args.root.expanduser(), now=SystemClock().now())
        except EdgehostError as error:
            document |= {"holds": False, "reason": error.message, "hint": error.hint}
            lines += ["", f"It does not hold: {error.message} {error.hint}".rstrip()]
            code = FAILED
        else:
            document["holds"] = True
            lines += ["", f"Its signatures hold from {args.root}."]
    out.result(document, *lines)
    return code


def _apply(args: argparse.Namespace, out: Output) -> int:
    config, file = host_config(args), args.file.expanduser()
    with Progress("waiting for the host", out):
        found = apply_bundle(config, file, remote_name=args.remote, timeout_s=args.timeout)
    if found is None:
        out.result(
            {"bundle": str(file), "outcome": "waits"},
            f"No host runs with this configuration: {file.name} is taken when it starts.",
        )
        return OK
    out.result(found, *_report_lines(found))
    return FAILED if found["outcome"] in _BAD else OK


def apply_bundle(
    config: Config, file: Path, *, remote_name: str | None, timeout_s: float
) -> dict[str, Any] | None:
    """Give a bundle to the host and wait for its report; None when no host runs: it is taken when one starts.

    Raises:
        RefusedError: it is no bundle, or this host takes none.
        TimeoutError: the host did not look at it in time.
    """
    read_bundle(file)  # what is none is refused here, in plain words
    remote = _stick_remote(config, remote_name)
    inbox = inbox_of(config.host.data / "remotes" / remote.name)
    inbox.mkdir(parents=True, exist_ok=True)
    there = inbox / file.with_suffix(SUFFIX).name
    report = there.with_suffix(REPORT_SUFFIX)
    report.unlink(missing_ok=True)
    with file.open("rb") as source, fresh_file(there, mode=0o600) as copy:
        shutil.copyfileobj(source, copy, _COPY_BYTES)
    host = HostClient(config.unix_socket, root=config.api.root)
    if _checked_at(host, remote.name) is None:
        return None
    return _awaited(report, host, remote, timeout_s)


def _stick_remote(config: Config, wanted: str | None) -> RemoteSettings:
    remotes = {each.name: each for each in config.remotes if isinstance(each.carrier, StickCarrier)}
    if not remotes:
        raise RefusedError(
            "This host takes no bundles: it has no remote of transport 'stick'.",
            hint='Add one: [[remotes]] name = "bundles", transport = "stick", root = "root.json".',
        )
    if wanted is None and len(remotes) > 1:
        raise UsageError(f"name one with --remote: {', '.join(remotes)}")
    if wanted is not None and wanted not in remotes:
        raise NotFoundError(
            f"There is no remote '{wanted}' of transport 'stick'.", hint=f"Known: {', '.join(remotes)}."
        )
    return remotes[wanted or next(iter(remotes))]


def _checked_at(host: HostClient, remote: str) -> float | None:
    """When the host was last done with this remote, in its own seconds; None when no host runs."""
    try:
        status = host.control("GET", "status")
    except UnavailableError:
        return None
    return max((row["checked_at"] for row in status["remotes"] if row["name"] == remote), default=0.0)


def _awaited(report: Path, host: HostClient, remote: RemoteSettings, timeout_s: float) -> dict[str, Any]:
    """The host's report, once the host is done with what the bundle brought.

    Raises:
        TimeoutError: there is none in time.
    """
    until = time.monotonic() + timeout_s
    found: dict[str, Any] | None = None
    while time.monotonic() < until:
        content = read_bounded(report, _REPORT_MOST_BYTES)
        found = None if content is None else json.loads(content)
        if found is not None and found["outcome"] != Outcome.TAKEN:
            return dict(found)
        if found is not None and (_checked_at(host, remote.name) or 0.0) >= _seconds(found["checked_at"]):
            look_s = remote.carrier.look_s if isinstance(remote.carrier, StickCarrier) else 0.0
            time.sleep(look_s + _WRITING_S)  # by then the last word about it is written
            return dict(json.loads(read_bounded(report, _REPORT_MOST_BYTES) or content or b""))
        time.sleep(_LOOK_S)
    if found is None:
        raise TimeoutError(
            f"The host has not looked at the bundle within {timeout_s:g} s; its log says more."
        )
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _report_lines(report: Mapping[str, Any]) -> list[str]:
    lines = [f"{report['bundle']}: {report['outcome']}. {report['reason']} {report['hint']}".rstrip()]
    lines += [
        f"  {path}: {row['state']}{'. ' + row['reason'] if row.get('reason') else ''}"
        for path, row in report["contents"].items()
    ]
    return lines + [f"  {reason}" for reason in report["refusals"]]


def _document(contents: BundleContents) -> dict[str, Any]:
    until = contents.valid_until
    return {
        "version": contents.timestamp,
        "roots": list(contents.roots),
        "expires": {role: moment.isoformat() for role, moment in contents.expires.items()},
        "valid_until": None if until is None else until.isoformat(),
        "targets": contents.targets,
        "files": contents.files,
        "bytes": contents.bytes_written,
    }


def _summary(contents: BundleContents) -> str:
    whole = sum(row["whole"] for row in contents.targets.values())
    return (
        f"version {contents.timestamp}, {whole} of {len(contents.targets)} signed contents, "
        f"{contents.files} files, {size(contents.bytes_written)}."
    )


def _validity(contents: BundleContents) -> list[str]:
    until = contents.valid_until
    if until is None:
        return []
    role = min(contents.expires, key=lambda each: contents.expires[each])
    left = (until - datetime.fromtimestamp(SystemClock().now(), UTC)).days
    return [f"It holds until {until:%Y-%m-%d} ({left} days): then its {role} expires."]


def _content_lines(contents: BundleContents) -> list[str]:
    rows = [
        (path, size(row["size_bytes"]), "yes" if row["whole"] else "no", row["digest"][:12])
        for path, row in sorted(contents.targets.items())
    ]
    return ["", *table(("signed content", "size", "carried", "sha256"), rows)] if rows else []


VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Output], int]]] = {
    "create": _create,
    "show": _show,
    "apply": _apply,
}
