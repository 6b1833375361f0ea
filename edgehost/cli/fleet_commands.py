"""Gives one command to many hosts and follows each to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.adapters.fleet.command_signing import OperatorKey, new_command
from edgehost.adapters.fleet.operator_link import OperatorLink
from edgehost.cli.command_table import FAILED, OK, TIMED_OUT, UNREACHABLE
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import CommandRecord, CommandState, FleetCommand, Operation
from edgehost.domain.fleet_members import Member
from edgehost.domain.fleet_messages import LONGEST_LIFE_S, command_document, read_state
from edgehost.domain.json_text import write_json

_ENDED: Final = frozenset({CommandState.SUCCESSFUL, CommandState.FAILED})
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_PARTS: Final = 64


@dataclass(slots=True)
class Given:
    """A command that one host was given."""

    host: str
    topic: str
    operation: Operation
    id: str
    asleep: bool
    state: str = "given"
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For programs."""
        found = {"host": self.host, "id": self.id, "operation": str(self.operation), "state": self.state}
        return (
            found
            | ({"reason": self.reason} if self.reason else {})
            | ({"result": self.result} if self.result else {})
        )


@dataclass(slots=True)
class Giver:
    """One operator at work."""

    link: OperatorLink
    key: OperatorKey | None
    now: Callable[[], float]
    out: Output

    async def give(
        self, members: Sequence[Member], operation: Operation, arguments: Mapping[str, Any], life_s: float
    ) -> list[Given]:
        """Give each host its own copy, which no other host would take."""
        given = []
        for member in members:
            command = new_command(
                operation,
                arguments,
                fleet=self.link.topics.fleet,
                audience=[member.name],
                now=self.now(),
                life_s=life_s,
            )
            topic = self.link.topics.host(member.name).command(operation, command.id)
            await self.link.publish(topic, payload_of(command, self.key), expires_s=life_s)
            given.append(Given(member.name, topic, operation, command.id, member.is_asleep))
        return given

    async def follow(self, given: Sequence[Given], timeout_s: float) -> None:
        """Wait for those that are awake; each change is noted for people, each outcome cleared at the broker."""
        awake = [each for each in given if not each.asleep]
        await self.link.until(lambda: self._all_ended(awake), timeout_s)
        for each in awake:
            if each.state in _ENDED:
                each.result = await self._whole(each)
                await self.link.publish(each.topic, b"")
        for each in given:
            if each.asleep and each.state == "given":
                each.state = "asleep"

    def _all_ended(self, awake: Sequence[Given]) -> bool:
        for each in awake:
            self._look(each)
        return all(each.state in _ENDED for each in awake)

    def _look(self, given: Given) -> None:
        payload = self.link.retained.get(given.topic)
        if payload is None or given.state in _ENDED:
            return
        try:
            record = read_state(payload, given.operation, given.id)
        except RefusedError:
            return  # our own order, which the host has not taken yet
        if (str(record.state), record.reason) == (
            given.state,
            given.reason,
        ) or record.state is CommandState.INIT:
            return
        given.state, given.reason, given.result = str(record.state), record.reason, record.result
        self._note(given, record)

    def _note(self, given: Given, record: CommandRecord) -> None:
        if record.state in _ENDED:
            self.out.note(f"{given.host}: {record.state}{f'. {record.reason}' if record.reason else ''}")
        elif record.reason:
            self.out.note(f"{given.host}: {record.reason}")

    async def _whole(self, given: Given) -> Mapping[str, Any]:
        """The result, put together when it came in parts."""
        parts = given.result.get("parts")
        if not isinstance(parts, int) or not 0 < parts <= _MOST_PARTS:
            return given.result
        await self.link.listen(f"{given.topic}/result/+")
        pieces = [self.link.retained.get(f"{given.topic}/result/{number}", b"") for number in range(parts)]
        try:
            document: Mapping[str, Any] = json.loads(b"".join(pieces))
        except ValueError:
            return {"lost": "Some parts of the result are not there any more."}
        return document


def payload_of(command: FleetCommand, key: OperatorKey | None) -> bytes:
    """What is published: signed, or in plain for a broker that is declared trusted."""
    if key is not None:
        return key.signed_command(command)
    plain = {name: value for name, value in command_document(command).items() if name != "nonce"}
    return write_json({"status": "init", **plain})


def exit_code(given: Sequence[Given], *, waited: bool) -> int:
    """0 when all did it; the worst otherwise."""
    states = {each.state for each in given}
    if CommandState.FAILED in states:
        return FAILED
    if "asleep" in states:
        return UNREACHABLE
    return TIMED_OUT if waited and states - {str(CommandState.SUCCESSFUL)} else OK


def seconds(text: str) -> float:
    """A span such as 90s, 30m, 12h or 7d."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    span = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < span <= LONGEST_LIFE_S:
        raise UsageError(
            f"'{text}' is no time such as 30m, 12h or 7d, at most {LONGEST_LIFE_S / 86_400:.0f}d"
        )
    return float(span)
