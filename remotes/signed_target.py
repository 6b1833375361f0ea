"""Between a release and the ``custom`` field of its signed TUF target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import semver

from edgehost.domain.component_spec import ComponentSpec, Kind
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.names import NAME
from edgehost.domain.offered_release import DeltaOffer, OfferedRelease
from edgehost.domain.spec_reader import SpecReader
from remotes.transport import CHUNK_BYTES

SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: 2^53 - 1: exact in every JSON reader.
MOST_SEQUENCE: Final = 9_007_199_254_740_991
#: 1000 chunks of 32 KiB; the reader of lists takes no more either.
TARGET_MOST_BYTES: Final = 1000 * CHUNK_BYTES


def target_path(component: str, version: str) -> str:
    """The one path that a release may have; teams are delegated by its first part."""
    return f"{component}/{version}.wasm"


@dataclass(frozen=True, slots=True)
class Delta:
    """A delta as the publisher has made it: the digest of its base, and itself cut into chunks."""

    base: str
    digest: str
    size_bytes: int
    chunks: tuple[str, ...]


def custom_field(
    spec: ComponentSpec, *, sequence: int, chunks: tuple[str, ...], deltas: Sequence[Delta] = ()
) -> dict[str, Any]:
    """What is signed of a release beside its size and digest."""
    custom = {
        "component": spec.name,
        "version": spec.version,
        "kind": str(spec.kind),
        "abi": str(spec.abi),
        "sequence": sequence,
        "device_classes": list(spec.device_classes),
        "chunk_bytes": CHUNK_BYTES,
        "chunks": list(chunks),
    }
    if deltas:  # hosts from before there were any read on
        custom["deltas"] = [
            {"base": d.base, "digest": d.digest, "size_bytes": d.size_bytes, "chunks": list(d.chunks)}
            for d in deltas
        ]
    return custom


def read_target(
    path: str, *, length: int, hashes: Mapping[str, str], custom: object, remote: str
) -> OfferedRelease:
    """The release that a signed target speaks of. Unknown keys are for later versions and are let be.

    Raises:
        InvalidSpecificationError: the fields are incomplete, of the wrong type, or contradict each other.
    """
    if not isinstance(custom, Mapping):
        raise InvalidSpecificationError(f"{path}: there is no custom field.")
    reader = SpecReader(custom, path)
    offer = OfferedRelease(
        component=reader.text("component", pattern=NAME),
        version=reader.text("version"),
        kind=reader.choice("kind", Kind),
        # Not a choice: a host that does not know the ABI says so by itself, and takes the other releases.
        abi=reader.text("abi", pattern=NAME),
        sequence=reader.whole("sequence", least=1, most=MOST_SEQUENCE),
        device_classes=reader.texts("device_classes", pattern=NAME),
        digest=hashes.get("sha256", ""),
        size_bytes=length,
        remote=remote,
        target_path=path,
        chunks=reader.texts("chunks", pattern=SHA256),
        deltas=tuple(
            _read_delta(table, path, reader.text("version"), remote) for table in reader.table_list("deltas")
        ),
    )
    chunk_bytes = reader.whole("chunk_bytes", least=CHUNK_BYTES, most=CHUNK_BYTES)
    _require_consistent(offer, chunk_bytes)
    return offer


def _read_delta(table: SpecReader, path: str, version: str, remote: str) -> DeltaOffer:
    delta = DeltaOffer(
        base=table.text("base", pattern=SHA256),
        digest=table.text("digest", pattern=SHA256),
        size_bytes=table.whole("size_bytes", least=1, most=TARGET_MOST_BYTES),
        target_path=path,
        version=version,
        remote=remote,
        chunks=table.texts("chunks", pattern=SHA256),
    )
    if len(delta.chunks) != -(-delta.size_bytes // CHUNK_BYTES):
        raise table.refused(
            "chunks", f"has {len(delta.chunks)} items, which {delta.size_bytes} bytes do not make."
        )
    return delta


def _require_consistent(offer: OfferedRelease, chunk_bytes: int) -> None:
    def refuse(what: str) -> InvalidSpecificationError:
        return InvalidSpecificationError(f"{offer.target_path}: {what}")

    try:
        semver.Version.parse(offer.version)
    except ValueError:
        raise refuse(f"{offer.version[:80]!r} is no semantic version.") from None
    if offer.target_path != target_path(offer.component, offer.version):
        raise refuse(f"it is signed as {offer.component} {offer.version}.")
    if not SHA256.fullmatch(offer.digest):
        raise refuse("it has no sha256.")
    if not offer.device_classes:
        raise refuse("device_classes is missing or empty.")
    if not 0 < offer.size_bytes <= TARGET_MOST_BYTES:
        raise refuse(f"it has {offer.size_bytes} bytes; 1 to {TARGET_MOST_BYTES} are possible.")
    if len(offer.chunks) != -(-offer.size_bytes // chunk_bytes):
        raise refuse(f"{offer.size_bytes} bytes do not make {len(offer.chunks)} chunks.")
