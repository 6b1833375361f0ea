"""The story of two boards: one is flashed, the other runs components; power and host go, and nothing is half done."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgehost.cli.demo_avr import BOARD, avr_board, avr_program
from edgehost.cli.demo_board import EmulatedBoard, emulated_board
from edgehost.cli.demo_device_figures import DeviceFigures
from edgehost.cli.demo_firmware import CONFIG, firmware_for
from edgehost.cli.demo_fleet import REMOTE, DemoFleet, as_version, demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.cli.demo_line import DemoLine, demo_line
from edgehost.cli.demo_pico import PICO, PicoBoard, has_pico, pico_board
from edgehost.cli.output import Output
from edgehost.domain.component_file import embed_spec, padded, read_component
from edgehost.domain.errors import EdgehostError, UnavailableError
from edgehost.domain.spec_document import spec_document
from remotes.keys import generate_key
from remotes.mqtt_options import MqttOptions

_DEVICE: Final = "lamp"
_COMPONENT: Final = "device-blink"
_MACHINE: Final = "lm3s6965evb"
_MEMORY_BYTES: Final = 2048  # of linear memory, that the component needs
_FIRMWARE_BYTES: Final = 6000
_LARGE_BYTES: Final = 7500  # of the board's slot of 8 KB
_CUT_AFTER_BYTES: Final = 5000
_CALLS: Final = 100
_WAIT_S: Final = 20.0
_SLOW_S: Final = 60.0  # for a board that is emulated in Python
_KNOCK_S: Final = 0.01
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


@dataclass(slots=True)
class _Story:
    out: Output
    fleet: DemoFleet
    host: DemoHost
    board: EmulatedBoard
    line: DemoLine
    pico: PicoBoard
    figures: DeviceFigures = field(default_factory=DeviceFigures)

    @classmethod
    @asynccontextmanager
    async def begun(cls, folder: Path, out: Output) -> AsyncIterator[_Story]:
        """Keys, a repository, the firmware, and a board that is off; all is stopped at the end whatever happens."""
        fleet = DemoFleet(folder, MqttOptions("127.0.0.1"))  # no broker: all comes from a folder
        root = await asyncio.to_thread(fleet.make)
        (folder / "root.json").write_bytes(root.read_bytes())
        (folder / "mirror").mkdir()
        for name in ("device", "stranger"):
            generate_key(folder / "keys" / f"{name}.key")
        figures = DeviceFigures()
        out.note(f"* Compiling the firmware for {_MACHINE} ...")
        began = time.perf_counter()
        flat = await asyncio.to_thread(firmware_for, folder, _MACHINE)
        figures.compiled_in_s, figures.firmware_bytes = time.perf_counter() - began, flat.stat().st_size
        image = flat.with_suffix(".elf")
        async with (
            emulated_board(_MACHINE, image, folder) as board,
            demo_line(board) as line,
            pico_board(folder) as pico,
        ):
            config = folder / "edgehost.toml"
            config.write_text(
                CONFIG.format(
                    remote=REMOTE, device=_DEVICE, line=line.address, machine=_MACHINE, pico=pico.line
                )
            )
            host = DemoHost(config, folder / "data" / "edgehost.sock")
            story = cls(out, fleet, host, board, line, pico, figures)
            try:
                yield story
            finally:
                await host.stop()

    def say(self, line: str) -> None:
        """One line of the story."""
        self.out.note(f"* {line}")

    async def flashed(self) -> None:
        """Signed firmware, by the host, into a chip whose bootloader others wrote."""
        folder = self.fleet.folder
        image = await asyncio.to_thread(avr_program, folder, size_bytes=_FIRMWARE_BYTES)
        names = ("--board", BOARD, "--name", "blinker", "--version", "1.0.0")
        await self._run("firmware", "publish", self.fleet.repository, image, *names, *self._keys())
        await self.host.start()
        await self._until("firmware", lambda found: found["firmware"], "on offer")
        async with avr_board(folder) as board:
            began = time.perf_counter()
            words = ("flash", BOARD, "--firmware", "blinker", "--line", board.line, "--json", "-c", folder)
            told = await self._run(*words)
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
        await self._run("firmware", "publish", self.fleet.repository, image, *names, *self._keys())
        await self._until("firmware", lambda found: len(found["firmware"]) > 1, "on offer")
        await self._run(
            *("flash", PICO, "--firmware", "edgehost-device", "--line", self.pico.drive, "-c", folder)
        )
        began = time.perf_counter()
        async with asyncio.timeout(_SLOW_S):
            await self.pico.is_running.wait()
        device = await self._online("pico", timeout_s=_SLOW_S)
        self.say(
            f"'edgehost flash {PICO} --firmware edgehost-device': a {device['identity']['board']} "
            f"({device['identity']['core']}) runs it, and is online."
        )
        await self._publish(demo_component(f"{_COMPONENT}-1.0.0"))
        await self._deploy("pico", timeout_s=_SLOW_S)
        await self._call("set", {"on": True}, device="pico")
        figures.flashed_board_runs_component = await self._running("pico") == "1.0.0"
        self.say(
            f"{_COMPONENT} 1.0.0 runs on it and answers, {time.perf_counter() - began:.1f} s after its start "
            "(it is emulated at a fraction of its speed)."
        )
        await self.pico.power_off()

    async def bridged(self) -> None:
        """The other board is a node of the host."""
        device = await self._online()
        identity = device["identity"]
        self.say(
            f"A {identity['board']} ({identity['core']}) is on: online as '{_DEVICE}', firmware "
            f"{identity['firmware']} with {identity['engine']}."
        )

    async def deployed(self) -> None:
        """A component, signed for hosts and for devices; it is called, and what it tells is in the API."""
        content = demo_component(f"{_COMPONENT}-1.0.0")
        await self._publish(content)
        self.figures.component_bytes = len(content)
        self.figures.deployed_ms = await self._deploy()
        heard = HeardEvents(self.host.client)
        with heard.listening():
            for number in range(_CALLS):
                began = time.perf_counter()
                await self._call("set", {"on": number % 2 == 1})
                self.figures.call_each_ms.append((time.perf_counter() - began) * 1000)
            wanted = {"on": True, "switched": _CALLS - 1}  # it was off at first
            await heard.wait_for(_TELEMETRY, _tells(wanted), timeout_s=_WAIT_S)
        device = await self._device()
        told = device["telemetry"]
        self.figures.telemetry_shown = told["component"] == wanted
        self.say(f"{_COMPONENT} 1.0.0 runs there {self.figures.deployed_ms:.0f} ms after the order.")
        self.say(
            f"  /api/host/devices/{_DEVICE} says: component {json.dumps(told['component'])}, "
            f"{told['calls']} calls, up {told['up_ms']} ms"
        )

    async def swapped(self) -> None:
        """The next version takes over while the old one is called."""
        await self._publish(padded(as_version(demo_component(f"{_COMPONENT}-1.0.0"), "1.1.0"), _LARGE_BYTES))
        load = asyncio.create_task(self._load(), name="edgehost.demo.load")
        try:
            self.figures.swapped_ms = await self._deploy()
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
        content = padded(as_version(demo_component(f"{_COMPONENT}-1.0.0"), "1.2.0"), _LARGE_BYTES)
        await self._publish(content)
        self.line.cut_after(_CUT_AFTER_BYTES)
        try:
            await self._deploy()
        except EdgehostError as error:
            self.say(f"Power cut in the middle of 1.2.0. The host: {error}")
        async with asyncio.timeout(_WAIT_S):
            await self.line.cut.wait()
        figures.cuts += 1
        await self._offline()
        began = time.perf_counter()
        await self.board.power_on()
        device = await self._online()
        figures.back_after_cut_ms = (time.perf_counter() - began) * 1000
        slots = device["slots"]
        figures.old_ran_after_cut = slots["running"]["version"] == "1.1.0"
        figures.kept_bytes, figures.resumed_of_bytes = slots["have_bytes"] or 0, len(content)
        before = self.line.sent
        await self._deploy()
        figures.resumed = figures.kept_bytes > 0 and self.line.sent - before < len(content)
        self.say(
            f"With power again {slots['running']['version']} ran; the device had {figures.kept_bytes} of "
            f"{len(content)} bytes, and 1.2.0 went on from there."
        )
        await self.board.cut_power()
        figures.cuts += 1
        await self._offline()
        await self.board.power_on()
        device = await self._online()
        figures.new_ran_after_cut = device["slots"]["running"]["version"] == "1.2.0"
        self.say(f"Power cut again: {device['slots']['running']['version']} runs.")

    async def refused(self) -> None:
        """What a stranger signed for devices never gets there; what fails its probe goes back."""
        lamp = demo_component(f"{_COMPONENT}-1.0.0")
        await self._publish(as_version(lamp, "1.3.0"), signed_by="stranger")
        try:
            await self._deploy()
        except EdgehostError as error:
            self.figures.forged_refused = await self._running() == "1.2.0"
            self.say(f"1.3.0 is signed for devices by a stranger. The host: {error}")
        document = spec_document(read_component(lamp)) | {"version": "1.4.0", "probe": {"export": "set"}}
        await self._publish(embed_spec(lamp, document))
        try:
            await self._deploy()
        except EdgehostError as error:
            device = await self._device()
            self.figures.bad_given_back = (
                device["slots"]["running"]["version"] == "1.2.0" and len(device["slots"]["quarantined"]) == 1
            )
            self.say(f"1.4.0 fails its probe on the board. The host: {error}")
            self.say("  1.2.0 runs again, and the board takes 1.4.0 no more.")

    async def host_killed(self) -> None:
        """The board does not need its host."""
        before = (await self._device())["telemetry"]["up_ms"]
        await self.host.kill()
        began = time.perf_counter()
        await self.host.start()
        await self._online()
        self.figures.back_after_kill_ms = (time.perf_counter() - began) * 1000
        heard = HeardEvents(self.host.client)
        with heard.listening():
            await self._call("set", {"on": True})
            await heard.wait_for(_TELEMETRY, _tells({"on": True, "switched": 1}), timeout_s=_WAIT_S)
        device = await self._device()
        self.figures.host_killed_board_ran_on = (
            device["telemetry"]["up_ms"] > before and device["slots"]["running"]["version"] == "1.2.0"
        )
        self.say(
            f"The host was killed and started anew: the board ran on, and was online again after "
            f"{self.figures.back_after_kill_ms:.0f} ms."
        )

    # How

    def _keys(self) -> tuple[object, ...]:
        folder = self.fleet.folder
        return ("--key", folder / "keys" / "online.key", "--to", folder / "mirror")

    async def _publish(self, content: bytes, *, signed_by: str = "device") -> None:
        folder = self.fleet.folder
        file = folder / f"{_COMPONENT}.wasm"
        file.write_bytes(content)
        for_devices = (
            *("--device-key", folder / "keys" / f"{signed_by}.key"),
            *("--device-memory", _MEMORY_BYTES),
        )
        await self._run("publish", self.fleet.repository, file, *self._keys(), *for_devices)

    async def _run(self, *words: object) -> str:
        """A command of edgehost, as an operator gives it; what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgehost", *map(str, words)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        told, said = await process.communicate()
        if process.returncode:
            raise UnavailableError(f"'edgehost {words[0]}' failed: {said.decode(errors='replace')[-1500:]}")
        return told.decode()

    async def _deploy(self, device: str = _DEVICE, *, timeout_s: float = _WAIT_S) -> float:
        """The newest version, to the device; milliseconds until it runs."""
        began = time.perf_counter()
        await asyncio.to_thread(
            self.host.client.control,
            "POST",
            f"devices/{device}/deploy",
            body={"component": _COMPONENT},
            timeout_s=timeout_s,
        )
        return (time.perf_counter() - began) * 1000

    async def _call(self, function: str, body: dict[str, Any], *, device: str = _DEVICE) -> None:
        path = f"/api/host/devices/{device}/call/{_COMPONENT}/{function}"
        await asyncio.to_thread(self.host.client.request, "POST", path, body=body)

    async def _load(self) -> None:
        while True:
            self.figures.calls_total += 1
            try:
                await self._call("set", {"on": True})
            except EdgehostError as error:
                self.figures.calls_failed += 1
                self.say(f"  a call failed: {error}")
            await asyncio.sleep(0)

    async def _device(self, device: str = _DEVICE) -> Any:  # noqa: ANN401 - JSON
        return await self.host.get(f"/api/host/devices/{device}")

    async def _running(self, device: str = _DEVICE) -> str:
        return str((await self._device(device))["slots"]["running"]["version"])

    async def _online(self, device: str = _DEVICE, *, timeout_s: float = _WAIT_S) -> Any:  # noqa: ANN401 - JSON
        def is_there(found: Any) -> bool:  # noqa: ANN401 - JSON
            return bool(found["online"] and found["slots"] is not None)

        return await self._until(f"devices/{device}", is_there, "online", timeout_s=timeout_s)

    async def _offline(self) -> None:
        await self._until(f"devices/{_DEVICE}", lambda found: not found["online"], "offline")

    async def _until(
        self, what: str, holds: Callable[[Any], Any], word: str, *, timeout_s: float = _WAIT_S
    ) -> Any:  # noqa: ANN401 - JSON
        until = time.perf_counter() + timeout_s
        while time.perf_counter() < until:
            found = await self.host.get(f"/api/host/{what}")
            if holds(found):
                return found
            await asyncio.sleep(_KNOCK_S)
        raise UnavailableError(f"'{what}' is not {word} after {timeout_s:.0f} s.")


def _tells(wanted: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Whether a telemetry has this of the component."""
    return lambda told: told["data"].get("component") == wanted
