"""What a remote signs beside components: deployments and firmware."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class DocumentKind(enum.StrEnum):
    """The first part of a document's path, behind an ``@`` that no component's name can have."""

    DEPLOYMENT = "deployment"  # what hosts should run; see domain.deployment
    FIRMWARE = "firmware"  # an image for a board
    DEVICE = "device"  # the compact manifest that devices check of a component; see firmware_bridge.manifest


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A signed target as the last check found it; its bytes are fetched like those of a release."""

    kind: DocumentKind
    name: str
    version: str  # of firmware a semantic version, of what is counted its sequence in digits
    sequence: int  # counts publications of this name; a host never goes to a smaller one by itself
    digest: str  # sha256, lower-case hex
    size_bytes: int
    remote: str
    target_path: str  # @deployment/NAME/SEQUENCE.json, @firmware/NAME/VERSION.bin, @device/NAME/SEQUENCE.cose
    chunks: tuple[str, ...] = ()  # sha256 of each chunk, in order
    about: Mapping[str, str] = field(default_factory=dict)  # signed words about it: board, format, ...
