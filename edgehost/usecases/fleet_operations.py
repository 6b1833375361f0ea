"""What a host can be told to do from afar: components, calls, logs. Each says what a restart in its midst means."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.names import EXPORT, NAME
from edgehost.domain.release_life import Release
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.agent_control import AgentControl
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.fleet_operation import RunningCommand

#: A command that was in the midst of a restart so often brings the host down, as it seems.
MOST_BEGUN: Final = 3
LONGEST_VERSION: Final = 64
_LONGEST_PAYLOAD: Final = 64 * 1024
MOST_LINES: Final = 1000


@dataclass(frozen=True, slots=True)
class Deploy:
    """A component, or a deployment by its name."""

    control: ControlHost
    look: Callable[[str, Callable[[str], None]], Awaitable[Mapping[str, Any]]]  # for a deployment, by name
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "bring a release live, or look for a deployment now",
        "arguments": {
            "component": "its name",
            "version": "exactly this one, which is then pinned; without it the newest that is wanted",
            "deployment": "instead of a component: the name of a deployment",
        },
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component; "" for a deployment, which may change any."""
        return self._read(arguments)[0]

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """Commands about one component wait for each other."""
        component, _, deployment = self._read(arguments)
        return f"component {component}" if component else f"deployment {deployment}"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Bring it live."""
        component, version, deployment = self._read(running.arguments)
        if deployment:
            return await self.look(deployment, running.tell)
        manager = self.control.manager
        running.tell(f"It looks for {component}{f' {version}' if version else ''}.")
        release = await manager.found(component, version or None)
        running.committed = True
        running.tell(f"It deploys {component} {release.version}.")
        return _shown(await manager.deploy(release, pinned=bool(version)))

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Again: what is live already is a success."""
        require_few(running)
        return await self.run(running)

    def _read(self, arguments: Mapping[str, Any]) -> tuple[str, str, str]:
        table = SpecReader(arguments, error=RefusedError)
        component = table.text("component", default="", pattern=NAME)
        version = table.text("version", default="", longest=LONGEST_VERSION)
        deployment = table.text("deployment", default="", pattern=NAME)
        table.refuse_unknown()
        if bool(component) == bool(deployment):
            raise RefusedError("Name a component or a deployment.")
        if version and deployment:
            raise RefusedError("A deployment has no version here.")
        return component, version, deployment


@dataclass(frozen=True, slots=True)
class RollBack:
    """The last good release before the live one."""

    control: ControlHost
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "bring the last good release back and quarantine the live one",
        "arguments": {"component": "its name"},
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component."""
        return _component(arguments)

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """Commands about one component wait for each other."""
        return f"component {_component(arguments)}"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Go back."""
        component = _component(running.arguments)
        live = self._live(component)
        await running.remember({"live": live.digest if live is not None else ""})
        running.committed = True
        return _shown_document(await self.control.rollback(component))

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Once: another live release than before means that it had happened."""
        require_few(running)
        live = self._live(_component(running.arguments))
        if live is not None and "live" in running.memo and live.digest != running.memo["live"]:
            return _shown(live)
        return await self.run(running)

    def _live(self, component: str) -> Release | None:
        return self.control.manager.deployer.ledger.live(component)


@dataclass(frozen=True, slots=True)
class Restart:
    """A component's instances, or the host itself."""

    control: ControlHost
    agent: AgentControl | None = None
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "replace a component's instances without a failed call, or start the host again",
        "arguments": {"component": "its name; without it the host itself"},
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component; "" for the host."""
        return self._read(arguments)

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """Commands about one component wait for each other."""
        component = self._read(arguments)
        return f"component {component}" if component else "host"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Start again; the host's own restart ends in ``resume``."""
        component = self._read(running.arguments)
        running.committed = True
        if component:
            return _shown(await self.control.manager.restart(component, _nothing_more))
        if self.agent is None:
            raise UnavailableError("This host cannot start itself again: 'edgehost run' did not start it.")
        running.tell("It ends in order and starts again.")
        self.agent.restart()
        await asyncio.Event().wait()  # until it has ended
        raise AssertionError

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """A host that is here again has been restarted; instances of before have gone with it."""
        component = self._read(running.arguments)
        live = self.control.manager.deployer.ledger.live(component) if component else None
        return {"restarted": component or "host"} | ({} if live is None else dict(_shown(live)))

    def _read(self, arguments: Mapping[str, Any]) -> str:
        table = SpecReader(arguments, error=RefusedError)
        component = table.text("component", default="", pattern=NAME)
        table.refuse_unknown()
        return component


@dataclass(frozen=True, slots=True)
class Call:
    """An export of a component."""

    control: ControlHost
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "call an export of a component",
        "arguments": {
            "component": "its name",
            "function": "the export",
            "payload": "any JSON, a text as it is; or base64 instead",
            "base64": "bytes",
        },
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component."""
        return self._read(arguments)[0]

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as in FleetOperation
        """Calls wait for nobody."""
        return None

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """The answer: ``json``, ``text`` or ``base64``."""
        component, function, payload = self._read(running.arguments)
        return call_output(await self.control.call(component, function, payload))

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:  # noqa: ARG002 - as in FleetOperation
        """Never again: what the call did is not known."""
        raise UnavailableError("The host was restarted during the call; what it did is not known.")

    def _read(self, arguments: Mapping[str, Any]) -> tuple[str, str, bytes]:
        table = SpecReader(arguments, error=RefusedError)
        read = read_call(table)
        table.refuse_unknown()
        return read


@dataclass(frozen=True, slots=True)
class Logs:
    """What components, or the host, wrote last."""

    control: ControlHost
    agent: AgentControl | None = None
    capability: ClassVar[Mapping[str, Any]] = {
        "description": "the last lines that components logged, or the host itself",
        "arguments": {
            "component": "only this one's",
            "host": "true: the host's own lines instead",
            "lines": f"so many, 1 to {MOST_LINES}; 200 without it",
        },
    }

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component; "" for all of them or the host."""
        return self._read(arguments)[0]

    def turn(self, arguments: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - as in FleetOperation
        """Reading waits for nobody."""
        return None

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """The lines, oldest first."""
        component, host, count = self._read(running.arguments)
        if host:
            if self.agent is None:
                raise NotFoundError("This host keeps no lines of its own: 'edgehost run' did not start it.")
            return {"host": list(self.agent.host_lines)[-count:]}
        return {"lines": list(await self.control.logs(component or None))[-count:]}

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Again: reading changes nothing."""
        return await self.run(running)

    def _read(self, arguments: Mapping[str, Any]) -> tuple[str, bool, int]:
        table = SpecReader(arguments, error=RefusedError)
        component = table.text("component", default="", pattern=NAME)
        host = table.flag("host", default=False)
        count = table.whole("lines", default=200, least=1, most=MOST_LINES)
        table.refuse_unknown()
        if host and component:
            raise RefusedError("host stands beside component.", hint="Drop one.")
        return component, host, count


async def _nothing_more() -> None:
    """The same release again: nothing is to be kept."""


def _component(arguments: Mapping[str, Any]) -> str:
    table = SpecReader(arguments, error=RefusedError)
    component = table.text("component", pattern=NAME)
    table.refuse_unknown()
    return component


def read_call(table: SpecReader) -> tuple[str, str, bytes]:
    """Component, export and input of a call.

    Raises:
        RefusedError: they cannot be used.
    """
    component = table.text("component", pattern=NAME)
    function = table.text("function", pattern=EXPORT)
    given = table.anything("payload")
    coded = table.text("base64", default="", longest=2 * _LONGEST_PAYLOAD)
    if coded and given is not None:
        raise RefusedError("payload stands beside base64.", hint="Drop one.")
    if coded:
        try:
            return component, function, base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError("base64 is none.") from None
    if given is None:
        return component, function, b""
    return component, function, given.encode() if isinstance(given, str) else write_json(given)


def call_output(output: bytes) -> Mapping[str, Any]:
    """What a call answered, as ``json``, ``text`` or ``base64``."""
    try:
        return {"json": read_json(output)}
    except RefusedError:
        pass
    try:
        return {"text": output.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(output).decode()}


def require_few(running: RunningCommand) -> None:
    """Check that the command does not bring the host down again and again.

    Raises:
        EdgehostError: it was in the midst of too many restarts.
    """
    if running.begun > MOST_BEGUN:
        raise EdgehostError(f"The host was restarted {running.begun - 1} times during it; it is given up.")


def _shown(release: Release) -> Mapping[str, Any]:
    return {
        "component": release.component,
        "version": release.version,
        "digest": release.digest,
        "stage": str(release.stage),
    }


def _shown_document(release: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: str(release[name]) for name in ("component", "version", "digest", "stage")}
