"""A release as a remote offers it: what its signed metadata says, before any of its bytes are fetched."""

from __future__ import annotations

from dataclasses import dataclass

from edgehost.domain.errors import IncompatibleReleaseError


@dataclass(frozen=True, slots=True)
class DeltaOffer:
    """A release as its difference from another one; see remotes.delta."""

    base: str  # digest of the release that it starts from
    digest: str  # sha256 of the delta, lower-case hex
    size_bytes: int
    target_path: str  # of the release that it makes
    version: str
    remote: str
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfferedRelease:
    """From the TUF target and its signed ``custom`` field."""

    component: str
    version: str
    kind: str
    abi: str
    sequence: int  # counts publications of the component; a host never goes to a smaller one by itself
    device_classes: tuple[str, ...]
    digest: str  # sha256, lower-case hex
    size_bytes: int
    remote: str
    target_path: str
    chunks: tuple[str, ...] = ()  # sha256 of each chunk, in order
    deltas: tuple[DeltaOffer, ...] = ()


def require_compatible(
    offer: OfferedRelease, *, device_class: str, abis: frozenset[str], newest_sequence: int, most_bytes: int
) -> None:
    """Check what TUF does not know: whom the release is for, and that it is not an old one offered anew.

    ``newest_sequence`` is the largest sequence of this component that this host has ever accepted from its remote.

    Raises:
        IncompatibleReleaseError: device class, ABI, size or sequence does not fit.
    """
    label = f"{offer.component} {offer.version}"
    if "any" not in offer.device_classes and device_class not in offer.device_classes:
        raise IncompatibleReleaseError(
            f"{label} is for device class {', '.join(offer.device_classes)}; this host is '{device_class}'.",
            hint="Publish it for this class, or set [host] device_class.",
        )
    if offer.abi not in abis:
        raise IncompatibleReleaseError(
            f"{label} uses abi '{offer.abi}'; this host runs {', '.join(sorted(abis))}.",
            hint="Update the host.",
        )
    if offer.size_bytes > most_bytes:
        raise IncompatibleReleaseError(
            f"{label} has {offer.size_bytes} bytes; this host takes {most_bytes}.",
            hint="Raise [limits] component_bytes, or make the component smaller.",
        )
    if offer.sequence < newest_sequence:
        raise IncompatibleReleaseError(
            f"{label} has sequence {offer.sequence}; this host has already accepted {newest_sequence}.",
            hint="An older release is brought back with 'edgehost rollback', or by publishing it again.",
        )
