"""A host with a lamp whose firmware deployments bring: the board, its bridge and its programmer are scripted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from edgehost.domain.backoff import Backoff
from edgehost.domain.board import Board, FlashFacts
from edgehost.domain.device import DeviceIdentity, DeviceSlots, DeviceState
from edgehost.domain.device_firmware import FirmwarePage
from edgehost.domain.errors import DeviceError, NotFoundError
from edgehost.domain.flashing import BoardState, FirmwareImage, FlashJob, FlashOutcome, Phase, Segment
from edgehost.domain.flashing import FlashProgress as Progress
from edgehost.domain.rollout_report import RolloutState
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.ports.device import BridgedDevice
from edgehost.ports.programmer import Report
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.deploy_devices import DeviceHands
from edgehost.usecases.deploy_images import ImageHands
from edgehost.usecases.deploy_to_device import DeployToDevice
from edgehost.usecases.finish_flashes import FinishFlashes
from edgehost.usecases.firmware_book import FirmwareBook
from edgehost.usecases.firmware_offers import FirmwareOffers
from edgehost.usecases.flash_board import FlashBoard
from edgehost.usecases.flash_device import FlashDevice
from edgehost.usecases.flash_site import FlashSite, SignedImages
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.write_to_device import WriteToDevice
from tests.usecases.desired_scene import Desired, World

BASE: Final = 0x0800_0000
RECOVERY: Final = "Set BOOT0 to 1 and press reset."
BOARD: Final = Board(
    id="lamp-board",
    name="A lamp",
    vendor="nobody",
    mcu="none",
    core="none",
    cpu_hz=1,
    flash_bytes=1024,
    ram_bytes=1,
    flash=FlashFacts("scripted", base=BASE, size=1024),
    recovery=RECOVERY,
)
HALF: Final = b"half of it"


class LampWorld(World):
    """The board outlives the host, and so does what the host knows of it."""

    def __init__(self, flash: bytes = b"1.0.0") -> None:
        super().__init__()
        self.flash = flash
        self.says: dict[bytes, str | None] = {
            HALF: None
        }  # what firmware says of itself; None: it does not come up
        self.plugged = True
        self.faults: list[DeviceError | None] = []  # of the next writes to the board, in order
        self.unwritable: dict[bytes, DeviceError] = {}  # by content: every write of it breaks off so
        self.written: list[bytes] = []
        self.kept: dict[str, Any] = {}
        self.back_within_s = 0.05

    def firmware(self, version: str, content: bytes = b"", board: str = BOARD.id) -> SignedDocument:
        """Sign an image."""
        content = content or version.encode()
        digest = hashlib.sha256(content).hexdigest()
        self.files[digest] = content
        document = SignedDocument(
            kind=DocumentKind.FIRMWARE,
            name="lamp-firmware",
            version=version,
            sequence=len(self.documents_) + 1,
            digest=digest,
            size_bytes=len(content),
            remote=self.name,
            target_path=f"@firmware/lamp-firmware/{version}.bin",
            about={"board": board, "format": "bin"},
        )
        self.documents_.append(document)
        return document

    @property
    def runs(self) -> str | None:
        """What the firmware on the board says that it is; None when nothing comes up."""
        return self.says.get(self.flash, self.flash.decode())


@dataclass
class FirmwareStore:
    world: LampWorld

    async def load(self) -> dict[str, Any]:
        return dict(self.world.kept)

    async def keep(self, name: str, document: Mapping[str, Any]) -> None:
        with self.world.write():
            await asyncio.sleep(0)
            self.world.kept[name] = document


@dataclass
class Lamp:
    """Its bridge: online whenever the firmware comes up and nobody holds the line."""

    world: LampWorld
    holders: int = 0
    telemetry: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    since: float = 0.0
    moved: Callable[[], None] = lambda: None
    identity: DeviceIdentity | None = None  # as it was told last

    @property
    def state(self) -> DeviceState:
        version = self.world.runs
        online = self.world.plugged and version is not None and not self.holders
        identity = self.identity = _identity(version) if online and version else self.identity
        state = DeviceState("lamp", "/dev/lamp", online=online, identity=identity, slots=DeviceSlots())
        return replace(
            state,
            reason="" if online else "It is silent.",
            telemetry=self.telemetry,
            restarts=self.restarts,
            since=self.since,
        )

    def is_on(self, path: str) -> bool:
        return path == "/dev/lamp"

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        self.holders += 1
        try:
            yield
        finally:
            self.holders -= 1
            self.moved()


@dataclass
class ScriptedProgrammer:
    world: LampWorld
    lamp: Lamp
    protocol: str = "scripted"

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        world, content = self.world, job.image.segments[0].data
        assert self.lamp.holders, "the bridge is off the line while the board is flashed"
        fault = world.faults.pop(0) if world.faults else world.unwritable.get(content)
        if fault is not None and fault.state in {"", BoardState.UNTOUCHED}:
            raise fault
        with world.write():
            await asyncio.sleep(0)
            world.flash = HALF
        report(Progress(Phase.WRITE, 1, len(content)))
        if fault is not None:
            raise fault
        with world.write():
            world.flash = content
        world.written.append(content)
        return FlashOutcome("scripted", len(content), verified=True, seconds=0)


class Lines:
    async def found(self) -> list[Any]:
        return []

    def open(self, *_: object) -> Any:
        raise NotImplementedError


class WithLamp(Desired):
    """A host that has a lamp."""

    def attach(self, world: LampWorld) -> None:
        """Bridge it."""
        self.lamp = Lamp(world)
        self.finishing: list[asyncio.Task[None]] = []
        devices = Devices({"lamp": cast("BridgedDevice", self.lamp)})  # it is only looked at and held
        self.firmware_book = FirmwareBook(FirmwareStore(world))
        flasher = FlashBoard({"scripted": lambda: ScriptedProgrammer(world, self.lamp)}, devices)
        images = SignedImages(lambda: [world], self.shelf, parsed, Lines(), _no_catalog, flasher)

        def site(device: str) -> FlashSite:
            if device != "lamp":
                raise NotFoundError("There is none.")
            return FlashSite(BOARD, "/dev/lamp", world.back_within_s)

        writer = WriteToDevice(devices, images, site, self.bus, self.clock)
        self.flash = FlashDevice(self.firmware_book, writer)
        self.lamp.moved = writer.moved
        deployer = DeployToDevice(devices, lambda: self.manager.followers, self.bus, self.clock)
        self.images = ImageHands(self.flash, FirmwareOffers(images, self.firmware_book))
        self.firmware = DeviceHands(devices, deployer, self.images)

    @asynccontextmanager
    async def on(self) -> AsyncIterator[DeploymentReconciler]:
        await self.firmware_book.load()
        async with super().on() as reconciler:
            self.images.wake = reconciler.wake
            flashes = FinishFlashes(self.flash, reconciler.wake, Backoff(0.001, 0.001))
            self.finishing = [
                self.tasks.create_task(flashes.finish(device), name=device) for device in flashes.unfinished()
            ]
            yield reconciler
            for task in self.finishing:
                task.cancel()

    async def settled_flashes(self) -> None:
        """Until what an earlier run had begun is over."""
        if self.finishing:
            await asyncio.wait(self.finishing, timeout=30)

    def page(self) -> FirmwarePage:
        return self.firmware_book.page("lamp")

    async def plan(self) -> Any:
        """What is planned for the lamp now."""
        return (await self.reconciler.plans.of(self.held()))[-1]


class LampHost(WithLamp):
    """One run of the host."""

    def __init__(self, world: LampWorld) -> None:
        super().__init__(world)
        self.attach(world)


async def with_one(world: LampWorld) -> LampWorld:
    """The world after a deployment has brought 1.0.0 there, so that this host has the image."""
    world.flash = b"0.9.0"
    world.firmware("1.0.0")
    world.deploy(1, **lamp_deployment("=1.0.0"))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert host.held().state is RolloutState.SUCCESSFUL
    return world


def fault(kind: type[DeviceError], state: BoardState) -> DeviceError:
    """What a programmer raises."""
    error = kind(f"It broke off: {state}.", hint="Check the cable.")
    error.state = str(state)
    return error


def lamp_deployment(versions: str, **more: Any) -> dict[str, Any]:
    """A deployment of the lamp's firmware, and of a component of the host."""
    return {"firmware": {"lamp": f"lamp-firmware@{versions}"}, **more}


def _identity(version: str) -> DeviceIdentity:
    return DeviceIdentity(
        board="lamp-board",
        core="none",
        uid="01",
        firmware=version,
        engine="wasm3",
        has_float=True,
        slot_bytes=1,
        memory_bytes=1,
        body_bytes=1,
        block_bytes=16,
    )


def parsed(name: str, content: bytes, _board: Board, version: str) -> FirmwareImage:
    digest = hashlib.sha256(content).hexdigest()
    return FirmwareImage(name, "bin", (Segment(BASE, content),), digest, version=version)


def _no_catalog() -> Any:
    return None
