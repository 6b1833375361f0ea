"""The story of two boards: one is flashed, the other runs components; power and host go, and nothing is half done."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from edgehost.cli.demo_avr import BOARD, avr_board, avr_program
from edgehost.cli.demo_device_figures import DeviceFigures
from edgehost.cli.demo_device_scene import COMPONENT, DEVICE, WAIT_S, DeviceScene
from edgehost.cli.demo_firmware import firmware_for
from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.cli.demo_host import HeardEvents
from edgehost.cli.demo_pico import PICO, has_pico
from edgehost.cli.output import Output
from edgehost.domain.component_file import embed_spec, padded, read_component
from edgehost.domain.errors import EdgehostError
from edgehost.domain.spec_document import spec_document

_FIRMWARE_BYTES: Final = 6000
_LARGE_BYTES: Final = 7500  # of the board's slot of 8 KB
_CUT_AFTER_BYTES: Final = 5000
_CALLS: Final = 100
_SLOW_S: Final = 60.0  # for a board that is emulated in Python
_TELEMETRY: Final = "edgehost.device.telemetry"


async def tell_devices(
    folder: Path, out: Output, *, keep: bool, ended: Callable[[DeviceFigures], None]
) -> DeviceFigures:
    """From two bare boards to a component that survives whatever happens to the board and its host."""
    began = time.perf_counter()
    async with _Story.begun(folder, out) as story:
        await story.flashed()
        if has_pico():
            await story.flashed_and_bridged()
        else:
            story.say("No rp2040py is installed, so no Pico takes the firmware in this run.")
        await story.bridged()
        await story.deployed()
        await story.swapped()
        await story.power_cut()
        await story.refused()
        await story.host_killed()
        story.figures.seconds = time.perf_counter() - began
        ended(story.figures)
        if keep:
            status = await story.host.get("/api/host/status")
            out.note(f"\nIt goes on running at {', '.join(status['urls'])}; end it with Ctrl-C.")
            await asyncio.Event().wait()
    return story.figures


class _Story(DeviceScene):
    """Its chapters."""

    async def flashed(self) -> None:
        """Signed firmware, by the host, into a chip whose bootloader others wrote."""
        folder = self.fleet.folder
        image = await asyncio.to_thread(avr_program, folder, size_bytes=_FIRMWARE_BYTES)
        names = ("--board", BOARD, "--name", "blinker", "--version", "1.0.0")
        await self.command("firmware", "publish", self.fleet.repository, image, *names, *self.keys())
        await self.host.start()
        await self.until("firmware", lambda found: found["firmware"], "on offer")
        async with avr_board(folder) as board:
            began = time.perf_counter()
            words = ("flash", BOARD, "--firmware", "blinker", "--line", board.line, "--json", "-c", folder)
            told = await self.command(*words)
            self.figures.flashed_in_s = time.perf_counter() - began
            content = image.read_bytes()
            self.figures.flash_identical = board.flash.read_bytes()[: len(content)] == content
        self.figures.flashed_bytes = len(content)
        done = json.loads(told.splitlines()[-1])
        self.say(
            f"'edgehost flash {BOARD} --firmware blinker': {len(content)} bytes, signed, into {done['chip']} by "
            f"Arduino's bootloader, verified, in {self.figures.flashed_in_s:.1f} s."
        )

    async def flashed_and_bridged(self) -> None:
        """Our own firmware, into a Pico: the same board is flashed, bridged and given a component."""
        folder, figures = self.fleet.folder, self.figures
        image = await asyncio.to_thread(firmware_for, folder, "pico")
        names = ("--board", PICO, "--name", "edgehost-device", "--version", "0.1.0")
        await self.command("firmware", "publish", self.fleet.repository, image, *names, *self.keys())
        await self.until("firmware", lambda found: len(found["firmware"]) > 1, "on offer")
        await self.command(
            *("flash", PICO, "--firmware", "edgehost-device", "--line", self.pico.drive, "-c", folder)
        )
        began = time.perf_counter()
        async with asyncio.timeout(_SLOW_S):
            await self.pico.is_running.wait()
        device = await self.online("pico", timeout_s=_SLOW_S)
        self.say(
            f"'edgehost flash {PICO} --firmware edgehost-device': an emulated RP2040 runs the firmware of the "
            f"'{device['identity']['board']}' ({device['identity']['core']}), and is online."
        )
        await self.publish(demo_component(f"{COMPONENT}-1.0.0"))
        await self.deploy("pico", timeout_s=_SLOW_S)
        await self.call("set", {"on": True}, device="pico")
        figures.flashed_board_runs_component = await self.running("pico") == "1.0.0"
        self.say(
            f"{COMPONENT} 1.0.0 runs on it and answers, {time.perf_counter() - began:.1f} s after its start "
            "(it is emulated at a fraction of its speed)."
        )
        await self.pico.power_off()

    async def bridged(self) -> None:
        """The other board is a node of the host."""
        device = await self.online()
        identity = device["identity"]
        self.say(
            f"An {identity['board']} ({identity['core']}) is on: online as '{DEVICE}', firmware "
            f"{identity['firmware']} with {identity['engine']}."
        )

    async def deployed(self) -> None:
        """A component, signed for hosts and for devices; it is called, and what it tells is in the API."""
        content = demo_component(f"{COMPONENT}-1.0.0")
        await self.publish(content)
        self.figures.component_bytes = len(content)
        self.figures.deployed_ms = await self.deploy()
        heard = HeardEvents(self.host.client)
        with heard.listening():
            for number in range(_CALLS):
                began = time.perf_counter()
                await self.call("set", {"on": number % 2 == 1})
                self.figures.call_each_ms.append((time.perf_counter() - began) * 1000)
            wanted = {"on": True, "switched": _CALLS - 1}  # it was off at first
            await heard.wait_for(_TELEMETRY, _tells(wanted), timeout_s=WAIT_S)
        device = await self.device()
        told = device["telemetry"]
        self.figures.telemetry_shown = told["component"] == wanted
        self.say(f"{COMPONENT} 1.0.0 runs there {self.figures.deployed_ms:.0f} ms after the order.")
        self.say(
            f"  /api/host/devices/{DEVICE} says: component {json.dumps(told['component'])}, "
            f"{told['calls']} calls, up {told['up_ms']} ms"
        )

    async def swapped(self) -> None:
        """The next version takes over while the old one is called."""
        await self.publish(padded(as_version(demo_component(f"{COMPONENT}-1.0.0"), "1.1.0"), _LARGE_BYTES))
        load = asyncio.create_task(self.load(), name="edgehost.demo.load")
        try:
            self.figures.swapped_ms = await self.deploy()
        finally:
            load.cancel()
            with suppress(asyncio.CancelledError):
                await load
        self.say(
            f"1.1.0 took over after {self.figures.swapped_ms:.0f} ms; {self.figures.calls_total} calls were made "
            f"meanwhile, {self.figures.calls_failed} failed."
        )

    async def power_cut(self) -> None:
        """The emulator is killed in the middle of a transfer, and again once the new version runs."""
        figures = self.figures
        content = padded(as_version(demo_component(f"{COMPONENT}-1.0.0"), "1.2.0"), _LARGE_BYTES)
        await self.publish(content)
        self.line.cut_after(_CUT_AFTER_BYTES)
        try:
            await self.deploy()
        except EdgehostError as error:
            self.say(f"Power cut in the middle of 1.2.0. The host: {error}")
        async with asyncio.timeout(WAIT_S):
            await self.line.cut.wait()
        figures.cuts += 1
        await self.offline()
        began = time.perf_counter()
        await self.board.power_on()
        device = await self.online()
        figures.back_after_cut_ms = (time.perf_counter() - began) * 1000
        slots = device["slots"]
        figures.old_ran_after_cut = slots["running"]["version"] == "1.1.0"
        figures.kept_bytes, figures.resumed_of_bytes = slots["have_bytes"] or 0, len(content)
        before = self.line.sent
        await self.deploy()
        figures.resumed = figures.kept_bytes > 0 and self.line.sent - before < len(content)
        self.say(
            f"With power again {slots['running']['version']} ran; the device had {figures.kept_bytes} of "
            f"{len(content)} bytes, and 1.2.0 went on from there."
        )
        await self.board.cut_power()
        figures.cuts += 1
        await self.offline()
        await self.board.power_on()
        device = await self.online()
        figures.new_ran_after_cut = device["slots"]["running"]["version"] == "1.2.0"
        self.say(f"Power cut again: {device['slots']['running']['version']} runs.")

    async def refused(self) -> None:
        """What a stranger signed for devices never gets there; what fails its probe goes back."""
        lamp = demo_component(f"{COMPONENT}-1.0.0")
        await self.publish(as_version(lamp, "1.3.0"), signed_by="stranger")
        try:
            await self.deploy()
        except EdgehostError as error:
            self.figures.forged_refused = await self.running() == "1.2.0"
            self.say(f"1.3.0 is signed for devices by a stranger. The host: {error}")
        document = spec_document(read_component(lamp)) | {"version": "1.4.0", "probe": {"export": "set"}}
        await self.publish(embed_spec(lamp, document))
        try:
            await self.deploy()
        except EdgehostError as error:
            device = await self.device()
            self.figures.bad_given_back = (
                device["slots"]["running"]["version"] == "1.2.0" and len(device["slots"]["quarantined"]) == 1
            )
            self.say(f"1.4.0 fails its probe on the board. The host: {error}")
            self.say("  1.2.0 runs again, and the board takes 1.4.0 no more.")

    async def host_killed(self) -> None:
        """The board does not need its host."""
        before = (await self.device())["telemetry"]["up_ms"]
        await self.host.kill()
        began = time.perf_counter()
        await self.host.start()
        await self.online()
        self.figures.back_after_kill_ms = (time.perf_counter() - began) * 1000
        heard = HeardEvents(self.host.client)
        with heard.listening():
            await self.call("set", {"on": True})
            await heard.wait_for(_TELEMETRY, _tells({"on": True, "switched": 1}), timeout_s=WAIT_S)
        device = await self.device()
        self.figures.host_killed_board_ran_on = (
            device["telemetry"]["up_ms"] > before and device["slots"]["running"]["version"] == "1.2.0"
        )
        self.say(
            f"The host was killed and started anew: the board ran on, and was online again after "
            f"{self.figures.back_after_kill_ms:.0f} ms."
        )


def _tells(wanted: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Whether a telemetry has this of the component."""
    return lambda told: told["data"].get("component") == wanted
