"""Sign components as the newest releases of their names, in a repository's folder, and mirror it to where hosts look.

  edgehost publish fleet telemetry-1.1.0.wasm --key keys/online.key --to mqtt://localhost/fleet

A folder that hosts reach themselves (a share, a stick) needs no --to. With --device-key the components are signed for
microcontrollers too: such a key is made with 'edgehost keygen', and devices are provisioned with its public half.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.bounded_file import MOST_COMPONENT_BYTES, read_regular
from edgehost.cli.command_table import OK
from edgehost.cli.output import Output, size
from edgehost.cli.publishing_arguments import add_online_keys, add_targets
from edgehost.cli.usage import UsageError
from edgehost.domain.component_file import read_component
from edgehost.domain.offered_release import OfferedRelease

if TYPE_CHECKING:
    from remotes.device_manifests import DeviceSigning

_KEEP: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", metavar="REPOSITORY", help="folder that 'edgehost remote init' made")
    parser.add_argument(
        "components", metavar="FILE.wasm", nargs="+", help="components that 'edgehost build' made"
    )
    add_online_keys(parser)
    add_targets(parser)
    parser.add_argument(
        "--device-key", metavar="FILE", help="sign them for devices too, with a key that devices believe"
    )
    parser.add_argument(
        "--device-memory",
        metavar="BYTES",
        type=int,
        default=0,
        help="linear memory that a device must have; default: up to __heap_base where it is exported, else whole pages",
    )
    parser.add_argument(
        "--device-uid", metavar="HEX", type=bytes.fromhex, default=b"", help="for the one device with this id"
    )
    parser.add_argument(
        "--keep", metavar="N", type=int, default=_KEEP, help=f"releases of it on offer; default {_KEEP}"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Sign, then mirror."""
    from edgehost.cli.mirror_targets import mirror_to_all, mirrored_lines, read_target  # noqa: PLC0415 - TUF and MQTT are slow to import
    from edgehost.cli.signing_keys import require_private, signers  # noqa: PLC0415 - likewise
    from remotes.document_publisher import document_row  # noqa: PLC0415 - likewise
    from remotes.publisher import publish_release  # noqa: PLC0415 - likewise

    folder = Path(args.folder).expanduser()
    if folder.is_file():
        raise UsageError(f"{args.folder} is a file: the repository's folder comes first, components after it")
    targets = [read_target(text, ca_file=args.ca_file) for text in args.to]
    contents = [read_regular(Path(name), MOST_COMPONENT_BYTES) for name in args.components]
    specs = [read_component(content) for content in contents]  # all are components before one is signed
    keys = signers(require_private(args.key))
    for_devices = _for_devices(args)
    if for_devices is not None:
        from remotes.device_manifests import device_manifest, require_for_devices  # noqa: PLC0415 - likewise

        for spec, content in zip(specs, contents, strict=True):  # none is signed unless all can be
            require_for_devices(spec)
            device_manifest(spec, content, for_devices, 1)
    published = [
        publish_release(folder, spec, content, signers=keys, keep=args.keep, now=SystemClock().now())
        for spec, content in zip(specs, contents, strict=True)
    ]
    before = published[0].before
    manifests = []
    if for_devices is not None:
        from remotes.device_manifests import publish_device_manifest  # noqa: PLC0415 - likewise

        manifests = [
            publish_device_manifest(
                folder, spec, content, for_devices, signers=keys, keep=args.keep, now=SystemClock().now()
            )
            for spec, content in zip(specs, contents, strict=True)
        ]
        published += manifests
    fresh = frozenset[str]().union(*(each.fresh for each in published))
    mirrored = asyncio.run(mirror_to_all(folder, targets, out, fresh=fresh, before=before))
    releases = [each.release for each in published if each.release is not None]
    notes = [note for each in published for note in each.notes]
    out.result(
        {
            "published": [_document(release) for release in releases],
            "mirrored": {target: asdict(counts) for target, counts in mirrored.items()},
            "device_manifests": [document_row(each.document) for each in manifests if each.document],
            "notes": notes,
        },
        *(
            f"Signed {release.component} {release.version}: {size(release.size_bytes)}, "
            f"sequence {release.sequence}, sha256 {release.digest}."
            for release in releases
        ),
        *(
            f"Signed for devices: {each.document.name} {each.document.about['version']}, "
            f"sequence {each.document.sequence}."
            for each in manifests
            if each.document
        ),
        *(f"Note: {note}" for note in notes),
        *mirrored_lines(mirrored),
    )
    return OK


def _for_devices(args: argparse.Namespace) -> DeviceSigning | None:
    if not args.device_key:
        if args.device_memory or args.device_uid:
            raise UsageError("--device-memory and --device-uid need --device-key")
        return None
    from edgehost.cli.signing_keys import require_private, signers  # noqa: PLC0415 - not for --help
    from remotes.device_manifests import DeviceSigning  # noqa: PLC0415 - likewise

    (key,) = signers(require_private([args.device_key]))
    return DeviceSigning(key, args.device_memory, args.device_uid)


def _document(release: OfferedRelease) -> dict[str, Any]:
    return {
        "component": release.component,
        "version": release.version,
        "sequence": release.sequence,
        "digest": release.digest,
        "size_bytes": release.size_bytes,
    }
