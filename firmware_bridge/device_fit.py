"""Whether a component fits a device, from what both say of themselves, before a byte is sent."""

from __future__ import annotations

import hashlib

from edgehost.domain.device import DeviceIdentity, DeviceSlots
from edgehost.domain.errors import (
    ConflictError,
    IncompatibleReleaseError,
    QuarantinedReleaseError,
    UntrustedReleaseError,
)
from firmware_bridge.manifest import ANY_BOARD, FEATURES, DeviceManifest

_ABI = "extism"
_FLOAT = "float"
_KEY_BYTES = 8


def require_fit(manifest: DeviceManifest, identity: DeviceIdentity, slots: DeviceSlots) -> None:
    """Check all that the device will check but the signature, with errors that say what to do.

    Raises:
        IncompatibleReleaseError: it is for other boards or another device, or needs more than there is.
        QuarantinedReleaseError: it has failed there before.
        ConflictError: it runs there already.
    """
    label = f"{manifest.component} {manifest.version}"
    _require_whom(manifest, identity, label)
    _require_budget(manifest, identity, label)
    digest = manifest.sha256.hex()
    running = slots.running
    if running is not None and running.digest == digest:
        raise ConflictError(f"{label} runs on this device already.")
    if slots.has_quarantined(digest):
        raise QuarantinedReleaseError(
            f"{label} has failed on this device before.", hint="Publish a mended one under the next version."
        )
    if running is not None and manifest.sequence <= running.sequence:
        raise IncompatibleReleaseError(
            f"{label} has sequence {manifest.sequence}, and the device runs {running.component} "
            f"{running.version} with {running.sequence}.",
            hint="Go back with 'edgehost bridge rollback', or publish it again: it gets a higher one.",
        )
    if manifest.sequence < slots.sequence:
        raise IncompatibleReleaseError(
            f"{label} has sequence {manifest.sequence}, and a release with {slots.sequence} has run on this device.",
            hint="Publish it again: it gets a higher one.",
        )


def _require_whom(manifest: DeviceManifest, identity: DeviceIdentity, label: str) -> None:
    if not {ANY_BOARD, identity.board, identity.core} & set(manifest.boards):
        raise IncompatibleReleaseError(
            f"{label} is for {', '.join(manifest.boards) or 'no board'}; this device is a '{identity.board}' "
            f"({identity.core}).",
            hint="Name the board or its core in device_classes, and publish it again.",
        )
    if manifest.uid and manifest.uid.hex() != identity.uid:
        raise IncompatibleReleaseError(f"{label} is signed for the one device {manifest.uid.hex()}.")
    if manifest.abi != _ABI:
        raise IncompatibleReleaseError(f"{label} uses abi '{manifest.abi}'; devices run '{_ABI}'.")


def _require_budget(manifest: DeviceManifest, identity: DeviceIdentity, label: str) -> None:
    known = set(FEATURES) - (set() if identity.has_float else {_FLOAT})
    if missing := sorted(set(manifest.features) - known):
        raise IncompatibleReleaseError(
            f"{label} needs {', '.join(missing)}, which the engine on this '{identity.board}' does not have.",
            hint="Build it without floating point." if missing == [_FLOAT] else "Build it for wasm32 mvp.",
        )
    for what, needed, there, hint in (
        ("bytes of flash", manifest.size_bytes, identity.slot_bytes, "Strip it, or leave something out."),
        (
            "bytes of linear memory",
            manifest.memory_bytes,
            identity.memory_bytes,
            "Give the linker a smaller stack and less data.",
        ),
    ):
        if needed > there:
            raise IncompatibleReleaseError(
                f"{label} needs {needed} {what}; this '{identity.board}' has {there}.", hint=hint
            )


def key_mark(public_key: bytes) -> str:
    """How a device names a key that it believes."""
    return hashlib.sha256(public_key).digest()[:_KEY_BYTES].hex()


def require_believed(mark: str, identity: DeviceIdentity, label: str) -> None:
    """Check that the device knows the key that signed.

    Raises:
        UntrustedReleaseError: it does not.
    """
    if mark not in identity.keys:
        raise UntrustedReleaseError(
            f"{label} is signed for devices by the key {mark}; this one believes "
            f"{', '.join(identity.keys) or 'none'}.",
            hint="Sign it with a key that the device was provisioned with: 'edgehost publish --device-key'.",
        )
