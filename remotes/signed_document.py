"""Between a signed document and its TUF target: ``@deployment/NAME/SEQUENCE.json``, ``@firmware/NAME/VERSION.bin``.

No component's name begins with ``@``, so the two never meet, and a team may be delegated ``@firmware/valve/*``.
A path with ``@`` and a kind that is unknown here is for later versions of the host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import semver

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.names import NAME
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.domain.spec_reader import SpecReader
from remotes.signed_target import MOST_SEQUENCE, SHA256, TARGET_MOST_BYTES
from remotes.transport import CHUNK_BYTES

_MARK: Final = "@"
_ENDING: Final = {
    DocumentKind.DEPLOYMENT: ".json",
    DocumentKind.FIRMWARE: ".bin",
    DocumentKind.DEVICE: ".cose",
}
#: What has no version but its sequence.
COUNTED: Final = frozenset({DocumentKind.DEPLOYMENT, DocumentKind.DEVICE})
#: A deployment is read into memory whole and kept in the host's state; 1000 components take half of it.
DEPLOYMENT_MOST_BYTES: Final = 262_144
_MOST_BYTES: Final = {
    DocumentKind.DEPLOYMENT: DEPLOYMENT_MOST_BYTES,
    DocumentKind.FIRMWARE: TARGET_MOST_BYTES,
    DocumentKind.DEVICE: 480,  # what devices have room for
}
#: Words about a document travel with every refresh of the metadata.
_MOST_WORDS: Final = 32


def is_document_path(path: str) -> bool:
    """Whether the target is a document, of a kind that is known here or not."""
    return path.startswith(_MARK)


def document_path(kind: DocumentKind, name: str, version: str) -> str:
    """The one path that a document may have."""
    return f"{_MARK}{kind}/{name}/{version}{_ENDING[kind]}"


def document_field(document: SignedDocument) -> dict[str, Any]:
    """What is signed of it beside its size and digest."""
    return {
        "kind": str(document.kind),
        "name": document.name,
        "version": document.version,
        "sequence": document.sequence,
        "about": dict(document.about),
        "chunk_bytes": CHUNK_BYTES,
        "chunks": list(document.chunks),
    }


def read_document(
    path: str, *, length: int, hashes: Mapping[str, str], custom: object, remote: str
) -> SignedDocument | None:
    """The document that a signed target speaks of; None for a kind of later versions. Unknown keys are let be.

    Raises:
        InvalidSpecificationError: the fields are incomplete, of the wrong type, or contradict each other.
    """
    kind = _kind_of(path)
    if kind is None:
        return None
    if not isinstance(custom, Mapping):
        raise InvalidSpecificationError(f"{path}: there is no custom field.")
    reader = SpecReader(custom, path)
    document = SignedDocument(
        kind=DocumentKind(reader.choice("kind", (kind,))),
        name=reader.text("name", pattern=NAME),
        version=reader.text("version"),
        sequence=reader.whole("sequence", least=1, most=MOST_SEQUENCE),
        digest=hashes.get("sha256", ""),
        size_bytes=length,
        remote=remote,
        target_path=path,
        chunks=reader.texts("chunks", pattern=SHA256),
        about=reader.text_map("about"),
    )
    reader.whole("chunk_bytes", least=CHUNK_BYTES, most=CHUNK_BYTES)
    require_consistent(document)
    return document


def require_consistent(document: SignedDocument) -> None:
    """Check what the fields say of each other.

    Raises:
        InvalidSpecificationError: they contradict each other, or pass a bound.
    """

    def refuse(what: str) -> InvalidSpecificationError:
        return InvalidSpecificationError(f"{document.target_path}: {what}")

    if document.kind in COUNTED:
        if document.version != str(document.sequence):
            raise refuse(f"version {document.version[:80]!r} is not its sequence {document.sequence}.")
    elif not _is_semantic(document.version):
        raise refuse(f"{document.version[:80]!r} is no semantic version.")
    if document.target_path != document_path(document.kind, document.name, document.version):
        raise refuse(f"it is signed as {document.kind} {document.name} {document.version}.")
    if not re.fullmatch(SHA256, document.digest):
        raise refuse("it has no sha256.")
    most = _MOST_BYTES[document.kind]
    if not 0 < document.size_bytes <= most:
        raise refuse(f"it has {document.size_bytes} bytes; 1 to {most} are possible.")
    if len(document.chunks) != -(-document.size_bytes // CHUNK_BYTES):
        raise refuse(f"{document.size_bytes} bytes do not make {len(document.chunks)} chunks.")
    if len(document.about) > _MOST_WORDS:
        raise refuse(f"about has {len(document.about)} words; {_MOST_WORDS} are possible.")


def _kind_of(path: str) -> DocumentKind | None:
    word = path.removeprefix(_MARK).partition("/")[0]
    return DocumentKind(word) if word in set(DocumentKind) else None


def _is_semantic(version: str) -> bool:
    return semver.Version.is_valid(version)
