"""What a host can be told to do from afar: its configuration, a diagnosis, boards on its lines, bundles of releases."""

from __future__ import annotations

import asyncio
import base64
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from edgehost.domain.config_generation import Standing
from edgehost.domain.errors import ConflictError, EdgehostError, RefusedError, UnavailableError
from edgehost.domain.redaction import REMOVED, Redactor, opaque_values
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.agent_control import AgentControl
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.flash_order import read_flash_order
from edgehost.usecases.fleet_operation import RunningCommand

_LONGEST_TEXT: Final = 64 * 1024
_LOOK_S: Final = 0.5
_FLASH_LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Configure:
    """A configuration is proposed; it becomes good, or the host goes back and says why."""

    agent: AgentControl
    require_reachable: Callable[[bytes], None]  # refuses one that takes the host out of the fleet
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "propose a configuration; the host starts on it, and goes back when it is not well there",
        "arguments": {
            "text": "the whole edgehost.toml",
            "show": "true: the one that runs, without its secrets: results are retained on the broker",
            "revert": "true: go back",
        },
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The whole host."""
        self._read(arguments)
        return ""

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as in FleetOperation
        """After the host's restart, and before it."""
        return "host"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Propose it and start on it; ``resume`` sees what becomes of it."""
        text, show, revert = self._read(running.arguments)
        if show:
            number = self.agent.generation.number
            return {"generation": number, **_shown(await self.agent.text(number))}
        if revert:
            # Before it is done: after a crash in between, going back once more would be one too many.
            await running.remember({"reverts_from": self.agent.generation.number})
            generation = await self.agent.revert(
                f"A command of {running.command.by[:8] or 'the broker'}.", restart=False
            )
            await running.remember({"reverted_to": generation.number})
        else:
            self.require_reachable(text.encode())
            generation = await self.agent.apply(
                text.encode(), f"mqtt:{running.command.by[:16]}", restart=False
            )
            if generation.number == self.agent.generation.number:
                return await self._tried(generation.number, running)
            await running.remember({"generation": generation.number})
        running.committed = True
        running.tell(f"It starts on generation {generation.number}.")
        self.agent.restart()
        await asyncio.Event().wait()  # until the host has ended
        raise AssertionError

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Wait for the end of the trial."""
        running.committed = True
        before = running.memo.get("reverts_from", self.agent.generation.number)
        if "reverted_to" in running.memo or before != self.agent.generation.number:
            return self.agent.generation.document()
        number = running.memo.get("generation")
        if number is None:
            return await self.run(running)
        return await self._tried(number, running)

    async def _tried(self, number: int, running: RunningCommand) -> Mapping[str, Any]:
        """What its trial comes to."""
        while True:
            found = next((each for each in self.agent.all_generations() if each.number == number), None)
            if found is None:
                raise ConflictError(f"Generation {number} is not remembered any more.")
            if found.standing is Standing.GOOD:
                return found.document()
            if found.standing is not Standing.TRIAL:
                raise ConflictError(
                    f"Generation {number} is {found.standing}: {found.reason or 'another one runs.'}"
                )
            running.tell(f"Generation {number} is on trial.")
            await asyncio.sleep(_LOOK_S)

    def _read(self, arguments: Mapping[str, Any]) -> tuple[str, bool, bool]:
        table = SpecReader(arguments, error=RefusedError)
        text = table.text("text", default="", longest=_LONGEST_TEXT)
        show, revert = table.flag("show", default=False), table.flag("revert", default=False)
        table.refuse_unknown()
        if REMOVED in text:
            raise RefusedError(
                f"It holds '{REMOVED}': it was shown without its secrets.",
                hint="Send the configuration that you keep, with its secrets in it.",
            )
        if bool(text) + show + revert != 1:
            raise RefusedError("Give one of text, show and revert.")
        return text, show, revert


def _shown(content: bytes) -> Mapping[str, Any]:
    """The text without what is given to components, and without what looks like a secret."""
    text = content.decode("utf-8", "replace")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        document = {}
    shown = Redactor(opaque_values(document)).text(text)
    return {"text": shown, "redacted": shown != text}


@dataclass(frozen=True, slots=True)
class Diagnose:
    """What the host knows of itself, without secrets."""

    control: ControlHost
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "a tar.gz for whoever helps, without secrets, in base64",
        "arguments": {},
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The whole host."""
        SpecReader(arguments, error=RefusedError).refuse_unknown()
        return ""

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as in FleetOperation
        """One at a time: it costs the host some work."""
        return "diag"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:  # noqa: ARG002 - as in FleetOperation
        """The bundle."""
        content = await self.control.diag()
        return {"name": "edgehost-diag.tar.gz", "base64": base64.b64encode(content).decode()}

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Again: reading changes nothing."""
        return await self.run(running)


@dataclass(frozen=True, slots=True)
class FlashBoards:
    """Signed firmware to a board on a line of the host."""

    control: ControlHost
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "write signed firmware to a board on a line of this host",
        "arguments": {
            "board": "its id, as 'edgehost boards ls' shows it",
            "firmware": "its name in a remote",
            "version": "exactly this one; without it the newest",
            "line": "where the board is; needed when several could be it",
            "baud": "bits per second; without it the board's",
            "tool": "what writes it: built-in, esptool, openocd or pyocd; without it the board's",
            "verify": "false: do not read back what was written",
            "erase_all": "true: erase what lies beside the image too",
            "dry_run": "true: only the plan",
        },
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The whole host: boards are no components."""
        read_flash_order(arguments)
        return ""

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """Flashes of one line follow on one another."""
        return f"line {read_flash_order(arguments).line}"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Flash, and tell how far it is."""
        boards = self.control.boards()
        running.committed = True  # a flash that has begun is finished: half a firmware helps nobody
        state = await boards.flash(running.arguments)
        while state["state"] == "running":
            progress = state["progress"] or {}
            if progress.get("total"):
                running.tell(f"{progress['phase']}: {progress['done']} of {progress['total']} bytes.")
            state = await boards.flash_state(state["flash"], seen=state["turn"], wait_s=_FLASH_LOOK_S)
        if state["problem"]:
            problem = state["problem"]
            after = f" The board is {problem['board_state']}." if problem["board_state"] else ""
            raise EdgehostError(f"{problem['message']}{after}", hint=problem["hint"])
        return {"plan": state["plan"], "outcome": state["outcome"]}

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:  # noqa: ARG002 - as in FleetOperation
        """Not again by itself: nobody has looked at the board since."""
        raise UnavailableError(
            "The host was restarted while it flashed; the board may be neither old nor new.",
            hint="Flash it again.",
        )


#: The host's report of a bundle, by the id of its command; None until there is one.
Report = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class ApplyBundle:
    """A bundle that came as a message; its own signatures decide."""

    give: Callable[[str, bytes], Awaitable[None]]  # keeps it where the remote looks
    report: Report
    content: Callable[[str], bytes | None]  # what came, while this run of the host has it
    timeout_s: float = 300.0
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "publish a signed bundle to .../bundle/<id>; its state is at .../cmd/bundle/<id>",
        "arguments": {},
    }

    def about(self, arguments: Mapping[str, Any]) -> str:  # noqa: ARG002 - as in FleetOperation
        """Whatever it holds."""
        return ""

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as in FleetOperation
        """One after another."""
        return "bundle"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Give it to the remote and wait for its report."""
        content = self.content(running.command.id)
        if content is None:
            raise UnavailableError(
                "The host was restarted before it had kept the bundle.", hint="Send it again."
            )
        await self.give(running.command.id, content)
        running.committed = True
        return await self._judged(running)

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """The remote has it, or it was lost."""
        running.committed = True
        return await self._judged(running)

    async def _judged(self, running: RunningCommand) -> Mapping[str, Any]:
        running.tell("It is checked.")
        try:
            async with asyncio.timeout(self.timeout_s):
                # The report is a file that another room writes.
                while (found := await self.report(running.command.id)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise UnavailableError("The host did not come to a result about the bundle in time.") from None
        bad = [
            f"{path} is {row['state']}: {row.get('reason', '')}"
            for path, row in found["contents"].items()
            if row["state"] in {"rejected", "quarantined", "not taken", "rolled back"}
        ]
        if found["outcome"] != "taken" or bad:
            raise RefusedError(
                " ".join((f"The bundle is {found['outcome']}.", found["reason"], *bad)).strip()
            )
        return {
            "version": found["version"],
            "contents": found["contents"],
            "refusals": found["refusals"][:20],
        }
