"""What the roles of a repository sign, read and gathered: releases and documents, each path and sequence once."""

from __future__ import annotations

from typing import Any

from tuf.api.metadata import TargetFile, Targets

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_document import SignedDocument
from remotes.refusal import Attack, untrusted
from remotes.signed_document import is_document_path, read_document
from remotes.signed_target import read_target


class SignedTargets:
    """All that the roles sign. A path belongs to the first role that has it."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._offers: dict[str, OfferedRelease] = {}
        self._documents: dict[str, SignedDocument] = {}
        self._sequences: set[tuple[str, int]] = set()

    def take(self, name: str, role: Targets, delegation: Any) -> None:  # noqa: ANN401 - one of two classes of the library
        """What one role signs."""
        for path, target in role.targets.items():
            if path in self._offers or path in self._documents:
                continue
            if delegation is not None and not delegation.is_delegated_path(path):
                raise untrusted(Attack.WRONG_KEYS, self._remote, f"role '{name}' may not sign {path}.")
            try:
                self._take_target(path, target)
            except InvalidSpecificationError as error:
                raise untrusted(
                    Attack.MALFORMED, self._remote, f"role '{name}' signs {error.message}"
                ) from error

    def offers(self) -> tuple[OfferedRelease, ...]:
        """Every release, oldest first in each component."""
        return tuple(sorted(self._offers.values(), key=lambda offer: (offer.component, offer.sequence)))

    def documents(self) -> tuple[SignedDocument, ...]:
        """Every document of a known kind, oldest first in each name."""
        return tuple(sorted(self._documents.values(), key=lambda each: (each.kind, each.name, each.sequence)))

    def _take_target(self, path: str, target: TargetFile) -> None:
        length, hashes, custom = target.length, target.hashes, target.custom
        if not is_document_path(path):
            offer = read_target(path, length=length, hashes=hashes, custom=custom, remote=self._remote)
            self._require_new(offer.component, offer.sequence)
            self._offers[path] = offer
            return
        document = read_document(path, length=length, hashes=hashes, custom=custom, remote=self._remote)
        if document is not None:  # else a kind of later versions
            self._require_new(f"{document.kind} {document.name}", document.sequence)
            self._documents[path] = document

    def _require_new(self, what: str, sequence: int) -> None:
        if (what, sequence) in self._sequences:
            raise untrusted(Attack.MALFORMED, self._remote, f"{what} has sequence {sequence} twice.")
        self._sequences.add((what, sequence))
