"""Publishing for devices: the compact manifest that a device checks, signed by the publisher beside the component.

A host carries it and cannot make one: it has no key that devices believe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securesystemslib.signer import Signer

from edgehost.domain.component_spec import Abi, ComponentSpec
from edgehost.domain.errors import InvalidComponentError
from edgehost.domain.signed_document import DocumentKind
from edgehost.domain.wasm_needs import read_needs
from firmware_bridge.device_fit import key_mark
from firmware_bridge.manifest import (
    ANY_BOARD,
    DeviceManifest,
    manifest_payload,
    signed_manifest,
    to_be_signed,
)
from remotes.document_publisher import publish_document
from remotes.keys import PrivateKey
from remotes.repository import STANDARD_EXPIRY, Expiry
from remotes.target_changes import Published

#: A device class of components that run on any device, and on no host.
EVERY_DEVICE: Final = "device"
_PAGE: Final = 16  # what a manifest rounds memory up to


@dataclass(frozen=True, slots=True)
class DeviceSigning:
    """How a component is signed for devices."""

    key: PrivateKey
    memory_bytes: int = 0  # 0: up to its exported __heap_base, else the pages that it starts with
    uid: bytes = b""  # for one device only

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes that devices are provisioned with."""
        return bytes.fromhex(self.key.public_key.keyval["public"])


def publish_device_manifest(
    folder: Path,
    spec: ComponentSpec,
    content: bytes,
    signing: DeviceSigning,
    *,
    signers: Sequence[Signer],
    keep: int = 3,
    expiry: Expiry = STANDARD_EXPIRY,
    now: float,
) -> Published:
    """Sign the component for devices: ``@device/NAME/SEQUENCE.cose``; hosts find it by the component's digest.

    Raises:
        InvalidComponentError: no device could run it.
        As publish_document.
    """
    require_for_devices(spec)
    return publish_document(
        folder,
        DocumentKind.DEVICE,
        spec.name,
        lambda sequence: device_manifest(spec, content, signing, sequence),
        about={
            "version": spec.version,
            "component": hashlib.sha256(content).hexdigest(),
            "key": key_mark(signing.public_key),
            "boards": " ".join(_boards(spec)),
        },
        signers=signers,
        keep=keep,
        expiry=expiry,
        now=now,
    )


def device_manifest(spec: ComponentSpec, content: bytes, signing: DeviceSigning, sequence: int) -> bytes:
    """The signed manifest of a component.

    Raises:
        InvalidComponentError: the module uses what no device has, or the manifest gets too large.
    """
    needs = read_needs(content)
    memory_bytes = signing.memory_bytes or -(-needs.memory_bytes // _PAGE) * _PAGE
    if memory_bytes < needs.least_bytes:
        raise InvalidComponentError(
            f"{spec.name} has {needs.least_bytes} bytes of data and stack, more than the {memory_bytes} of "
            "--device-memory."
        )
    payload = manifest_payload(
        DeviceManifest(
            component=spec.name,
            version=spec.version,
            sequence=sequence,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).digest(),
            boards=_boards(spec),
            abi=spec.abi,
            memory_bytes=memory_bytes,
            features=needs.features,
            uid=signing.uid,
        )
    )
    signature = bytes.fromhex(signing.key.sign(to_be_signed(payload)).signature)
    return signed_manifest(payload, signature)


def _boards(spec: ComponentSpec) -> tuple[str, ...]:
    """Class ``device`` is every board and no host."""
    return tuple(ANY_BOARD if each == EVERY_DEVICE else each for each in spec.device_classes)


def require_for_devices(spec: ComponentSpec) -> None:
    """Check what devices cannot do at all.

    Raises:
        InvalidComponentError.
    """
    if spec.abi is not Abi.EXTISM:
        raise InvalidComponentError(
            f"{spec.name} uses abi '{spec.abi}'; devices run '{Abi.EXTISM}'.",
            hint="Publish it without --device-key.",
        )
    beyond = sorted(set(spec.grants.functions) - {"readings"})
    if beyond or spec.grants.http_hosts or spec.grants.models or spec.grants.components:
        what = ", ".join(beyond) or "models, components or HTTP"
        raise InvalidComponentError(
            f"{spec.name} asks the host for {what}; on a device only 'readings' is there.",
            hint="Leave it out of [grants], or publish it without --device-key.",
        )
