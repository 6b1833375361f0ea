"""Bring a component onto a device: find it with its manifest, check that it fits, send it, let it switch."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from edgehost.domain.board import WasmFacts
from edgehost.domain.device import DeviceIdentity
from edgehost.domain.device_events import DeviceReleaseMoved
from edgehost.domain.errors import (
    BusyError,
    EdgehostError,
    IncompatibleReleaseError,
    NotFoundError,
    QuarantinedReleaseError,
    UnavailableError,
    UntrustedReleaseError,
)
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.version_range import ANY_VERSION, VersionRange
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.remote import Remote
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.follow_remote import rank
from firmware_bridge.device_fit import require_believed, require_fit
from firmware_bridge.manifest import DeviceManifest, read_manifest

log = logging.getLogger("edgehost.device")

_KEPT_FILES: Final = 8
_KEPT_BYTES: Final = 1024 * 1024


class OfferingRemote(Protocol):
    """A followed remote: what it offers, and itself."""

    @property
    def remote(self) -> Remote:
        """The remote."""
        ...

    @property
    def known(self) -> Sequence[OfferedRelease]:
        """What its last check found."""
        ...

    async def offers(self) -> Sequence[OfferedRelease]:
        """What it offers now."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceOffer:
    """A component for devices, as a remote has it."""

    remote: Remote
    release: OfferedRelease
    manifest: SignedDocument

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.release.component} {self.release.version}"


@dataclass(slots=True)
class DeployToDevice:
    """One transfer to a device at a time; several devices at once."""

    devices: Devices
    remotes: Callable[[], Sequence[OfferingRemote]]
    bus: EventBus
    clock: Clock
    budget_of: Callable[[str], WasmFacts | None] = lambda _board: None
    _files: OrderedDict[str, bytes] = field(default_factory=OrderedDict, repr=False)  # by digest
    transfers: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by device, those under way

    async def deploy(self, name: str, component: str, version: str | None = None) -> None:
        """Find, check, send, probe and switch.

        Raises:
            As DeviceControl.deploy_to_device.
        """
        within = ANY_VERSION if version is None else VersionRange.parse(version)
        offer = await self.found(component, within)
        await self.prepare(name, offer)
        await self.commit(name, offer)

    async def found(self, component: str, within: VersionRange) -> DeviceOffer:
        """The best release of a component within the range that has a manifest for devices.

        Raises:
            NotFoundError: no remote offers one.
        """
        problem: EdgehostError | None = None
        for each in self.remotes():
            try:
                await each.offers()
            except EdgehostError as error:  # what it had is signed all the same
                problem = error
        offer = self.best_known(component, within)
        if offer is not None:
            return offer
        bare = [
            release
            for each in self.remotes()
            for release in each.known
            if release.component == component and within.allows(release.version)
        ]
        if bare:
            best = max(bare, key=rank)
            raise NotFoundError(
                f"{component} {best.version} is on offer, but not for devices: it has no device manifest.",
                hint="Publish it with 'edgehost publish --device-key FILE'.",
            )
        if problem is not None:
            raise problem
        names = {document.name for each in self.remotes() for document in _manifests(each.remote)}
        raise NotFoundError(
            f"No remote offers a component '{component[:80]}' {within.text} for devices.",
            hint=did_you_mean(component[:80], names),
        )

    def best_known(self, component: str, within: VersionRange) -> DeviceOffer | None:
        """The best release of a component within the range that remotes had for devices at their last checks."""
        fitting = [
            offer
            for offer in self._known()
            if offer.release.component == component and within.allows(offer.release.version)
        ]
        return max(fitting, key=lambda offer: rank(offer.release), default=None)

    def known_by_digest(self, digest: str) -> DeviceOffer | None:
        """The release with this digest, as remotes had it for devices at their last checks."""
        return next((offer for offer in self._known() if offer.release.digest == digest), None)

    def _known(self) -> Iterator[DeviceOffer]:
        for each in self.remotes():
            newest: dict[str, SignedDocument] = {}
            for document in _manifests(each.remote):
                digest = document.about.get("component", "")
                if digest not in newest or newest[digest].sequence < document.sequence:
                    newest[digest] = document
            for release in each.known:
                if release.digest in newest:
                    yield DeviceOffer(each.remote, release, newest[release.digest])

    def require_offer_fits(self, name: str, offer: DeviceOffer) -> None:
        """Check what can be said before anything is fetched.

        Raises:
            UntrustedReleaseError: it is signed by a key that the device does not know.
            IncompatibleReleaseError: it is larger than the device's slot.
            QuarantinedReleaseError: it has failed there before.
        """
        state = self.devices.get(name).state
        if state.identity is None:
            return
        require_believed(offer.manifest.about.get("key", ""), state.identity, offer.label)
        _require_size(offer, self._within_budget(state.identity).slot_bytes)
        if state.slots is not None and state.slots.has_quarantined(offer.release.digest):
            raise QuarantinedReleaseError(
                f"{offer.label} has failed on '{name}' before.",
                hint="Publish a mended one under the next version.",
            )

    async def prepare(self, name: str, offer: DeviceOffer) -> None:
        """Check that it fits, and bring it into the spare slot; what runs goes on.

        Raises:
            As deploy.
        """
        device = self.devices.get(name)
        identity = device.state.identity
        if not device.state.online or identity is None:
            raise UnavailableError(
                f"The device '{name}' is offline: {device.state.reason}", hint="Deploy it when it is back."
            )
        if name in self.transfers:
            raise BusyError(f"A component is on its way to '{name}'.", hint="Wait until it is there.")
        release = offer.release
        self.transfers[name] = self._transfer(offer, 0)
        try:
            self.require_offer_fits(name, offer)
            content = await self._fetched(offer.remote, offer.manifest)
            manifest = read_manifest(content)
            _require_same(manifest, release)
            require_fit(manifest, self._within_budget(identity), await device.slots())
            wasm = await self._fetched(offer.remote, release)

            def progress(done: int, _size: int) -> None:
                self.transfers[name] = self._transfer(offer, done)

            await device.prepare(wasm, content, progress)
        except EdgehostError as error:
            self._failed(name, offer, error)
            raise
        finally:
            self.transfers.pop(name, None)

    async def commit(self, name: str, offer: DeviceOffer) -> None:
        """Let the device probe what was prepared, and run it.

        Raises:
            As deploy.
        """
        device, release = self.devices.get(name), offer.release
        try:
            await device.commit()
        except UnavailableError as error:  # it may have switched, and its answer was lost
            slots = None if not device.state.online else await device.slots()
            if slots is None or slots.running is None or slots.running.digest != release.digest:
                self._failed(name, offer, error)
                raise
        except EdgehostError as error:
            self._failed(name, offer, error)
            raise
        log.info("%s: runs %s.", name, offer.label)
        self._moved(name, release.component, release.version, release.digest)

    async def roll_back(self, name: str) -> None:
        """Run the release before.

        Raises:
            ConflictError: there is none. NotFoundError, UnavailableError.
        """
        device = self.devices.get(name)
        await device.roll_back()
        slots = device.state.slots
        running = None if slots is None else slots.running
        if running is not None:
            log.info("%s: runs %s %s again.", name, running.component, running.version)
            self._moved(name, running.component, running.version, running.digest)

    async def _fetched(self, remote: Remote, content: SignedContent) -> bytes:
        """Its bytes; those of the last few stay, so that what was prepared can be switched without a network."""
        found = self._files.pop(content.digest, None) or await remote.fetch(content)
        self._files[content.digest] = found
        while len(self._files) > _KEPT_FILES or sum(map(len, self._files.values())) > _KEPT_BYTES:
            if len(self._files) == 1:
                break
            self._files.popitem(last=False)
        return found

    def _within_budget(self, identity: DeviceIdentity) -> DeviceIdentity:
        """The smaller of what the device says and what its board's file says."""
        facts = self.budget_of(identity.board)
        if facts is None:
            return identity
        return replace(
            identity,
            slot_bytes=min(identity.slot_bytes, facts.slot_bytes or identity.slot_bytes),
            memory_bytes=min(identity.memory_bytes, facts.memory_bytes or identity.memory_bytes),
            has_float=identity.has_float and facts.profile != "nofloat",
        )

    def _transfer(self, offer: DeviceOffer, done: int) -> dict[str, Any]:
        release = offer.release
        return {
            "component": release.component,
            "version": release.version,
            "done_bytes": done,
            "size_bytes": release.size_bytes,
        }

    def _failed(self, name: str, offer: DeviceOffer, error: EdgehostError) -> None:
        log.warning("%s: %s is not deployed: %s", name, offer.label, error)
        release = offer.release
        self._moved(name, release.component, release.version, release.digest, problem=error.code)

    def _moved(self, name: str, component: str, version: str, digest: str, *, problem: str = "") -> None:
        self.bus.publish(
            DeviceReleaseMoved(
                at=self.clock.now(),
                device=name,
                component=component,
                version=version,
                digest=digest,
                problem=problem,
            )
        )


def _manifests(remote: Remote) -> list[SignedDocument]:
    return [document for document in remote.documents() if document.kind is DocumentKind.DEVICE]


def _require_size(offer: DeviceOffer, slot_bytes: int) -> None:
    """From the signed size, before a byte is fetched."""
    if offer.release.size_bytes > slot_bytes:
        raise IncompatibleReleaseError(
            f"{offer.label} has {offer.release.size_bytes} bytes; this device has a slot of {slot_bytes}.",
            hint="Strip it, or leave something out.",
        )


def _require_same(manifest: DeviceManifest, release: OfferedRelease) -> None:
    """The two documents of the publisher speak of the same file."""
    same = (manifest.component, manifest.version, manifest.size_bytes, manifest.sha256.hex())
    if same != (release.component, release.version, release.size_bytes, release.digest):
        raise UntrustedReleaseError(
            f"The device manifest of {release.component} {release.version} is of another file.",
            hint="Publish it again.",
        )
