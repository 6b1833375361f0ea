"""What the verbs of ``edgehost deployment`` do."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.bounded_file import read_regular
from edgehost.cli.command_table import OK
from edgehost.cli.deployment_offers import require_offered
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, table
from edgehost.cli.usage import UsageError
from edgehost.domain.deployment import Deployment
from edgehost.domain.deployment_reader import read_author_deployment, read_deployment, signed_bytes
from edgehost.domain.errors import NotFoundError, RefusedError
from edgehost.domain.rollout_decision import is_staged
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.domain.suggestion import did_you_mean

_MOST_FILE_BYTES: Final = 262_144


def _read(file: Path) -> tuple[Mapping[str, Any], Deployment]:
    try:
        content = read_regular(file, _MOST_FILE_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {file}.") from None
    try:
        document = read_author_deployment(content)
    except RefusedError as problem:
        raise type(problem)(f"{file}: {problem.message}", hint=problem.hint) from None
    return document, read_deployment(document, sequence=1, digest="")


def _check(args: argparse.Namespace, out: Output) -> int:
    _, deployment = _read(args.file)
    if args.repository is not None:
        require_offered(args.repository.expanduser(), deployment, otherwise="leave --repository out")
    notes = _notes(deployment)
    counts = {"components": len(deployment.components), "devices": len(deployment.firmware)}
    document = {"deployment": deployment.name, **counts, "notes": notes}
    what = [f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items() if count]
    out.result(
        document,
        f"{deployment.name}: {' and '.join(what) or 'nothing'}, as hosts would read it.",
        *(f"Note: {note}" for note in notes),
    )
    return OK


def _publish(args: argparse.Namespace, out: Output) -> int:
    from edgehost.cli.mirror_targets import mirror_to_all, mirrored_lines, read_target  # noqa: PLC0415 - MQTT is slow to import
    from edgehost.cli.signing_keys import require_private, signers  # noqa: PLC0415 - likewise
    from remotes.document_publisher import publish_document  # noqa: PLC0415 - likewise

    folder = args.folder.expanduser()
    document, deployment = _read(args.file)
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    if not args.elsewhere:
        require_offered(folder, deployment, otherwise="say --elsewhere")
    published = publish_document(
        folder,
        DocumentKind.DEPLOYMENT,
        deployment.name,
        lambda sequence: signed_bytes(document, sequence),
        signers=signers(require_private(args.key)),
        keep=args.keep,
        now=SystemClock().now(),
    )
    signed = _document_of(published.document)
    mirrored = asyncio.run(
        mirror_to_all(folder, targets, out, fresh=published.fresh, before=published.before)
    )
    notes = _notes(deployment)
    out.result(
        {
            "deployment": signed.name,
            "sequence": signed.sequence,
            "digest": signed.digest,
            "mirrored": {target: asdict(counts) for target, counts in mirrored.items()},
            "notes": notes,
        },
        f"Signed deployment {signed.name}, sequence {signed.sequence}, sha256 {signed.digest}.",
        *(f"Note: {note}" for note in notes),
        *mirrored_lines(mirrored),
    )
    return OK


def _withdraw(args: argparse.Namespace, out: Output) -> int:
    from edgehost.cli.mirror_targets import mirror_to_all, mirrored_lines, read_target  # noqa: PLC0415 - MQTT is slow to import
    from edgehost.cli.signing_keys import require_private, signers  # noqa: PLC0415 - likewise
    from remotes.document_publisher import withdraw_document  # noqa: PLC0415 - likewise

    name, at, sequence = args.name.partition("@")
    if not at or not sequence:
        raise UsageError(f"'{args.name}' is no NAME@SEQUENCE")
    folder = args.folder.expanduser()
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    published = withdraw_document(
        folder,
        DocumentKind.DEPLOYMENT,
        name,
        sequence,
        signers=signers(require_private(args.key)),
        now=SystemClock().now(),
    )
    mirrored = asyncio.run(
        mirror_to_all(folder, targets, out, fresh=published.fresh, before=published.before)
    )
    out.result(
        {"withdrawn": args.name, "mirrored": {to: asdict(counts) for to, counts in mirrored.items()}},
        f"Deployment {name} {sequence} is off the offer.",
        *mirrored_lines(mirrored),
    )
    return OK


def _show(args: argparse.Namespace, out: Output) -> int:
    from remotes.document_publisher import documents  # noqa: PLC0415 - TUF is slow to import
    from remotes.repository import Repository  # noqa: PLC0415 - likewise

    folder = args.folder.expanduser()
    name, _, sequence = args.name.partition("@")
    offered = [each for each in documents(Repository(folder)) if each.kind is DocumentKind.DEPLOYMENT]
    found = [each for each in offered if each.name == name and sequence in {"", each.version}]
    if not found:
        hint = did_you_mean(name, {each.name for each in offered})
        raise NotFoundError(f"{folder} offers no deployment {args.name}.", hint=hint)
    newest = found[-1]
    content = b"".join((folder / "chunk" / chunk).read_bytes() for chunk in newest.chunks)
    document = json.loads(content)
    out.result(document, *json.dumps(document, indent=2, ensure_ascii=False).splitlines())
    return OK


def _ls(args: argparse.Namespace, out: Output) -> int:
    answer = host_client(args).control("GET", "deployments")
    out.result(answer, *_held_lines(answer["deployments"]))
    return OK


def _plan(args: argparse.Namespace, out: Output) -> int:
    host = host_client(args)
    if args.file is None:
        answer = host.control("GET", "deployment-plan")
    else:
        document, _ = _read(args.file)
        answer = host.control("POST", "deployment-plan", body=document)
    out.result(answer, *_plan_lines(answer["deployments"]), *_remote_lines(answer.get("remotes", ())))
    return OK


def _held_lines(deployments: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not deployments:
        yield "This host holds no deployment."
    for held in deployments:
        wave = f" in wave {held['wave']}" if "wave" in held else ""
        yield (
            f"{held['deployment']} {held['sequence']}  {held['state']}{wave} since {moment(held['since'])}"
            f"  {held['reason']}".rstrip()
        )
        if held.get("hint"):
            yield f"  {held['hint']}"
        rows = [
            (each["component"], each["standing"], each["version"] or "-", each["reason"])
            for each in held["components"]
        ]
        if rows:
            yield from (f"  {line}" for line in table(("component", "standing", "version", "why"), rows))


def _plan_lines(deployments: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not deployments:
        yield "This host holds no deployment."
    for planned in deployments:
        changes = planned["changes"]
        what = f"{changes} changes" if changes != 1 else "1 change"
        yield f"{planned['deployment']} {planned['sequence']}: {what}. {planned['reason']}".rstrip()
        for component in planned["components"]:
            if not component["steps"]:
                yield f"  {component['component']}: {component['standing']}. {component['reason']}".rstrip()
            for step in component["steps"]:
                yield f"  {component['component']}: {step['action']} {step['what']}: {step['reason']}"


def _remote_lines(remotes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Up to which point it is known what remotes have."""
    for remote in remotes:
        name, looked = f"Remote {remote['remote']}", moment(remote["checked_at"])
        if not remote["checked_at"]:
            yield f"{name} has not been looked at yet ({remote['state']}): what it has is not known."
            continue
        if remote["state"] != "ok":
            yield f"{name} is {remote['state']}: what it has is known as of {looked}. {remote['reason']}".rstrip()
        news = [each for each in remote["deployments"] if each["reason"]]
        for each in news:
            taken = f"this host has taken in {each['taken_in'] or 'none of it'}"
            yield f"{name} has {each['deployment']} {each['sequence']} as of {looked}; {taken}. {each['reason']}"
        if not news and remote["state"] == "ok":
            yield f"{name} has no deployment that this host has not taken in, as of {looked}."


def _notes(deployment: Deployment) -> list[str]:
    """What its author may not have meant."""
    notes = []
    if not deployment.components and not deployment.firmware:
        notes.append("It names no component: hosts let go of what earlier ones of its name held.")
    if deployment.rollout.waves != (1.0,) and not deployment.rollout.soak_s:
        notes.append("Its waves follow each other without a soak_s: nothing is watched between them.")
    if is_staged(deployment) and not deployment.rollout.blind_after_s:
        notes.append("Hosts without a [fleet] wait with it for ever: it has no rollout.blind_after_s.")
    return notes


def _document_of(document: SignedDocument | None) -> SignedDocument:
    if document is None:
        raise NotFoundError("Nothing was signed.")
    return document


VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Output], int]]] = {
    "check": _check,
    "publish": _publish,
    "withdraw": _withdraw,
    "show": _show,
    "ls": _ls,
    "plan": _plan,
}
