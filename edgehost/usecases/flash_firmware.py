"""Flashes signed firmware to the boards on a host's lines, and remembers how the last ones went."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edgehost.domain.board import Board
from edgehost.domain.errors import BusyError, DeviceError, EdgehostError, NotFoundError
from edgehost.domain.flash_events import FlashBegan, FlashEnded
from edgehost.domain.flashing import BoardState, FirmwareImage, FlashJob, FlashProgress
from edgehost.domain.signed_document import SignedDocument
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.ports.clock import Clock
from edgehost.ports.device_line import DeviceLines
from edgehost.ports.event_bus import EventBus
from edgehost.ports.remote import Remote
from edgehost.usecases.choose_line import choose_line, guess
from edgehost.usecases.flash_board import FlashBoard, FlashPlan, plan_document
from edgehost.usecases.flash_by_hand import FlashesByHand
from edgehost.usecases.flash_order import choose_firmware, offered_firmware, read_flash_order

log = logging.getLogger("edgehost.boards")

_REMEMBERED: Final = 32
_AT_ONCE: Final = 4
_LONGEST_WAIT_S: Final = 30.0
_INTERNAL: Final = "internal"
#: A problem that is no programmer's came before the board was touched.
_UNTOUCHED: Final = frozenset({"", str(BoardState.UNTOUCHED)})


@dataclass(slots=True)
class Flash:
    """One flash: under way until it has an outcome or a problem."""

    number: int
    plan: Mapping[str, Any]
    started_at: float
    ended_at: float | None = None
    progress: FlashProgress | None = None
    outcome: Mapping[str, Any] | None = None
    problem: Mapping[str, str] | None = None
    turn: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        state = "running" if self.ended_at is None else "failed" if self.problem else "done"
        return {
            "flash": self.number,
            "state": state,
            "turn": self.turn,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "plan": self.plan,
            "progress": asdict(self.progress) if self.progress else None,
            "outcome": self.outcome,
            "problem": self.problem,
        }

    def move(self) -> None:
        """Wake whoever waits."""
        self.turn += 1
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()


@dataclass(slots=True)
class FlashFirmware:
    """Meets BoardControl. A flash that has begun is finished, whoever asked for it has gone or not."""

    catalog: BoardCatalog
    device_lines: DeviceLines
    flasher: FlashBoard
    remotes: Sequence[Remote]
    parse: Callable[[str, bytes, Board, str], FirmwareImage]  # name, content, board, version
    show_board: Callable[[Board], Mapping[str, Any]]
    bus: EventBus
    clock: Clock
    spawn: Callable[[Coroutine[Any, Any, None], str], object]
    by_hand: FlashesByHand | None = None  # where devices are bridged: keeps what happens to them
    _flashes: OrderedDict[int, Flash] = field(default_factory=OrderedDict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def boards(self) -> Sequence[Mapping[str, Any]]:
        """Every board that is known here."""
        return [self.show_board(board) for board in self.catalog.all()]

    async def lines(self) -> Sequence[Mapping[str, Any]]:
        """The lines of this machine, each with its guess."""
        guesses = [guess(line, self.catalog) for line in await self.device_lines.found()]
        return [each.document() for each in guesses]

    def firmware(self) -> Sequence[Mapping[str, Any]]:
        """What the remotes' last checks found."""
        return [
            {
                "name": each.name,
                "version": each.version,
                "sequence": each.sequence,
                "digest": each.digest,
                "size_bytes": each.size_bytes,
                "remote": remote.name,
                "boards": each.about.get("board", "").split(),
            }
            for remote, each in offered_firmware(self.remotes)
        ]

    async def flash(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fetch, check, choose the line, begin."""
        self._require_room()
        wanted = read_flash_order(order)
        board = self.catalog.get(wanted.board)
        remote, document = choose_firmware(self.remotes, wanted.firmware, wanted.version, board)
        content = await remote.fetch(document)
        image = await asyncio.to_thread(self.parse, document.name, content, board, document.version)
        line = choose_line(board, await self.device_lines.found(), self.catalog, wanted.line)
        job = FlashJob(board, image, line, wanted.verify, wanted.baud, wanted.erase_all, wanted.tool)
        plan = self.flasher.plan(job)
        flash = Flash(next(self._numbers), plan_document(plan), self.clock.now())
        if wanted.dry_run:
            return {**flash.document(), "state": "planned"}
        self._require_room()  # others may have begun while it was fetched
        self._remember(flash)
        self.spawn(self._flash(flash, plan, document, content), f"edgehost.flash.{flash.number}")
        return flash.document()

    def flashes(self) -> Sequence[Mapping[str, Any]]:
        """Oldest first."""
        return [flash.document() for flash in self._flashes.values()]

    async def flash_state(self, number: int, *, seen: int = 0, wait_s: float = 0.0) -> Mapping[str, Any]:
        """How a flash is, once it has moved on beyond ``seen`` or the time is up."""
        flash = self._flashes.get(number)
        if flash is None:
            raise NotFoundError(f"There was no flash {number} lately.")
        if flash.turn <= seen and flash.ended_at is None and wait_s > 0:
            try:
                async with asyncio.timeout(min(wait_s, _LONGEST_WAIT_S)):
                    await flash.moved.wait()
            except TimeoutError:
                pass
        return flash.document()

    async def _flash(self, flash: Flash, plan: FlashPlan, document: SignedDocument, content: bytes) -> None:
        """It has ended once it is noted how, so that whoever orders the next one finds the board free."""
        job = plan.job
        began = FlashBegan(
            at=self.clock.now(),
            board=job.board.id,
            line=job.line,
            firmware=job.image.name,
            version=job.image.version,
            digest=job.image.digest,
        )
        self.bus.publish(began)
        try:
            devices = await self._run(flash, plan, document)
            await self._note(flash, devices, document, content)
        finally:
            flash.ended_at = self.clock.now()
            flash.move()
            problem = flash.problem or {}
            self.bus.publish(
                FlashEnded(
                    at=flash.ended_at,
                    board=began.board,
                    line=began.line,
                    firmware=began.firmware,
                    version=began.version,
                    digest=began.digest,
                    problem=problem.get("code", ""),
                    reason=problem.get("message", ""),
                    board_state=problem.get("board_state", ""),
                )
            )

    async def _note(
        self, flash: Flash, devices: Sequence[str], document: SignedDocument, content: bytes
    ) -> None:
        problem = flash.problem
        if self.by_hand is None:
            return
        if problem is None:
            await self.by_hand.done(devices, document, content)
        else:
            untouched = problem["code"] != _INTERNAL and problem["board_state"] in _UNTOUCHED
            await self.by_hand.failed(devices, problem["message"], untouched=untouched)

    async def _run(self, flash: Flash, plan: FlashPlan, document: SignedDocument) -> Sequence[str]:
        """The devices in whose book it is."""
        job = plan.job

        def report(progress: FlashProgress) -> None:
            flash.progress = progress
            flash.move()

        devices: Sequence[str] = ()
        try:
            if self.by_hand is not None:
                devices = await self.by_hand.begun(job.line, job.board.id, document)
            flash.outcome = asdict(await self.flasher.run(plan, report))
        except EdgehostError as error:
            flash.problem = {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "board_state": str(error.state) if isinstance(error, DeviceError) else "",
            }
        except asyncio.CancelledError:
            flash.problem = {
                "code": "cancelled",
                "message": "The host was stopped.",
                "hint": "",
                "board_state": "",
            }
            raise
        except Exception as error:  # of a programmer: the host runs on
            flash.problem = {
                "code": _INTERNAL,
                "message": f"{type(error).__name__}: {error}",
                "hint": "The host's log has more.",
                "board_state": "",
            }
            log.exception("The flash of %s ended as none should.", job.board.id)
        return devices

    def _require_room(self) -> None:
        if sum(1 for each in self._flashes.values() if each.ended_at is None) >= _AT_ONCE:
            raise BusyError(f"{_AT_ONCE} boards are being flashed.", hint="Wait until one is done.")

    def _remember(self, flash: Flash) -> None:
        self._flashes[flash.number] = flash
        ended = [number for number, each in self._flashes.items() if each.ended_at is not None]
        for number in ended[: max(0, len(self._flashes) - _REMEMBERED)]:
            del self._flashes[number]
