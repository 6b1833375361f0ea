"""A board as a table of facts: what chip it has, how it is flashed, what it can run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Protocols over a UART, which has a speed; the others are USB's own, or a drive.
OVER_UART: Final = frozenset({"esp", "stk500v1", "stk500v2", "avr109", "an3155", "smp"})
#: Protocols by which only what is written can be erased.
NO_ERASE_ALL: Final = frozenset({"smp", "uf2", "volume"})


#: What writes by a protocol where there is a choice; the first does when nobody chooses. ``built-in`` is edgehost itself.
TOOLS: Final = {"esp": ("built-in", "esptool"), "swd": ("openocd", "pyocd")}
ALL_TOOLS: Final = tuple(tool for tools in TOOLS.values() for tool in tools)


@dataclass(frozen=True, slots=True)
class UsbId:
    """Vendor and product as 16-bit numbers; printed as ``2341:0043``."""

    vendor: int
    product: int

    def __str__(self) -> str:
        return f"{self.vendor:04X}:{self.product:04X}"


@dataclass(frozen=True, slots=True)
class UsbChip:
    """A USB id that says which chip is plugged in, not which board."""

    usb: UsbId
    name: str
    kind: str  # converter, probe, native


@dataclass(frozen=True, slots=True)
class FlashFacts:
    """[flash]: how firmware gets onto the board."""

    protocol: (
        str  # the programmer's name: esp, uf2, stk500v1, stk500v2, avr109, an3155, smp, dfu, swd, volume
    )
    tool: str = ""  # one of TOOLS; "": the protocol's first
    baud: int = 115_200
    base: int = 0  # address of the first byte that an image without addresses is written to
    size: int = 0  # bytes that an image may use, bootloader not counted
    page: int = 0  # bytes written at one time; 0: the programmer decides
    reset: str = "none"  # how the bootloader is entered: none, dtr, classic, usb-jtag, touch1200, manual
    parity: str = "none"  # none, even
    chip: str = ""  # what the device must say that it is; compared before anything is erased
    signature: str = ""  # of AVR chips: three bytes in hex
    uf2_family: int = 0
    reserved: tuple[
        tuple[int, int], ...
    ] = ()  # (first address, bytes) that no image may touch: bootloaders, settings
    offsets: dict[str, int] = field(
        default_factory=dict
    )  # role of a part (bootloader, partitions, app) to address


@dataclass(frozen=True, slots=True)
class WasmFacts:
    """[wasm]: what a component may ask of the reference firmware on this board."""

    supported: bool = False
    profile: str = "full"  # or nofloat
    stack_bytes: int = 0
    memory_bytes: int = 0  # linear memory of one component
    slot_bytes: int = 0  # the largest component file


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """[bridge]: the line on which the firmware speaks slipmux."""

    baud: int = 115_200
    most_bytes: int = 1152  # the largest frame that the board takes


@dataclass(frozen=True, slots=True)
class Board:
    """One file of ``boards/``; ``sources`` says where each fact is from."""

    id: str
    name: str
    vendor: str
    mcu: str
    core: str  # avr, xtensa, riscv32, cortex-m0, cortex-m0plus, cortex-m3, cortex-m4, cortex-m7, cortex-m33
    cpu_hz: int
    flash_bytes: int
    ram_bytes: int
    flash: FlashFacts
    usb_ids: tuple[UsbId, ...] = ()  # while its firmware runs
    bootloader_ids: tuple[UsbId, ...] = ()  # while its bootloader runs
    wasm: WasmFacts = WasmFacts()
    bridge: BridgeFacts = BridgeFacts()
    pins: dict[str, str] = field(default_factory=dict)
    recovery: str = ""  # what a person does when it no longer answers: which button, which jumper
    sources: dict[str, str] = field(default_factory=dict)  # dotted key or table to where the fact is from
    emulated: bool = False  # a ``sim-`` board
