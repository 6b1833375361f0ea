"""What a host remembers of commands over restarts; a document that is small and replaced as a whole."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import CommandRecord, CommandState, FleetCommand, Operation
from edgehost.domain.fleet_messages import read_command
from edgehost.domain.fleet_rules import Replays
from edgehost.domain.json_text import tell_json

OPEN: Final = frozenset({CommandState.INIT, CommandState.EXECUTING})
#: Commands that wait or run; more are refused until some have ended.
MOST_OPEN: Final = 32
#: Outcomes that are kept until their requester clears them; then the oldest go, and their topics with them.
MOST_FINAL: Final = 64
#: Rollouts whose newest order is remembered; the ones that were ordered longest ago go, and leave a floor.
MOST_ORDERS: Final = 64
#: A longer result is shown once and not kept.
RESULT_KEPT_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: what was asked, where it is, and what a restart must know to go on."""

    command: FleetCommand
    record: CommandRecord
    begun: int = 0  # how often it was begun; 0: it waits
    memo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it must still come to an end."""
        return self.record.state in OPEN


@dataclass(frozen=True, slots=True)
class Journal:
    """All of it."""

    entries: Mapping[str, Entry] = field(default_factory=dict)  # by id, oldest first
    replays: Replays = field(default_factory=Replays)
    orders: Mapping[str, float] = field(default_factory=dict)  # deployment: issue of the newest order
    orders_floor: float = 0.0  # any rollout that is not among them may have had an order of then

    def with_entry(self, entry: Entry) -> tuple[Journal, tuple[Entry, ...]]:
        """After a change; beside it the outcomes that had to go."""
        entries = dict(self.entries)
        entries[entry.command.id] = entry
        final = [each for each in entries.values() if not each.is_open]
        gone = tuple(final[: max(0, len(final) - MOST_FINAL)])
        for each in gone:
            del entries[each.command.id]
        return replace(self, entries=entries), gone

    def without(self, command_id: str) -> Journal:
        """After its requester has cleared it; its nonce stays."""
        return replace(self, entries={key: each for key, each in self.entries.items() if key != command_id})

    def with_order(self, deployment: str, issued_at: float) -> Journal:
        """After an order to a rollout was obeyed."""
        orders = {key: each for key, each in self.orders.items() if key != deployment}
        orders[deployment] = issued_at
        floor = self.orders_floor
        while len(orders) > MOST_ORDERS:
            floor = max(floor, orders.pop(min(orders, key=lambda each: orders[each])))
        return replace(self, orders=orders, orders_floor=floor)

    def oldest_order(self, deployment: str) -> float:
        """An order to this rollout that was issued before this moment is not obeyed again.

        That very order may come again for a rollout that is remembered: a broker retains it. Of one that is not,
        nobody can say whether it was followed by another.
        """
        known = self.orders.get(deployment)
        if known is not None:
            return known
        return math.nextafter(self.orders_floor, math.inf) if self.orders_floor else 0.0

    def open_entries(self) -> tuple[Entry, ...]:
        """Those that must still come to an end."""
        return tuple(entry for entry in self.entries.values() if entry.is_open)


def journal_document(journal: Journal) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "entries": [_entry_document(each) for each in journal.entries.values()],
        "nonces": {nonce: list(each) for nonce, each in journal.replays.nonces.items()},
        "floors": dict(journal.replays.floors),
        "newest": journal.replays.newest,
        "lost_at": journal.replays.lost_at,
        "orders": dict(journal.orders),
        "orders_floor": journal.orders_floor,
    }


def read_journal(document: Mapping[str, Any]) -> Journal:
    """The journal of a document; an empty one is an empty journal.

    Raises:
        RefusedError: it is none.
    """
    try:
        entries = [_read_entry(each) for each in document.get("entries", ())]
        nonces = {
            str(nonce): (str(key), float(issued), float(expires))
            for nonce, (key, issued, expires) in document.get("nonces", {}).items()
        }
        floors = {str(key): float(value) for key, value in document.get("floors", {}).items()}
        orders = {str(key): float(value) for key, value in document.get("orders", {}).items()}
        newest, lost_at = float(document.get("newest", 0.0)), float(document.get("lost_at", 0.0))
        orders_floor = float(document.get("orders_floor", 0.0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(f"It is no journal of commands: {error!r}.") from None
    return Journal(
        {each.command.id: each for each in entries},
        Replays(nonces, floors, newest, lost_at),
        orders,
        orders_floor,
    )


def _entry_document(entry: Entry) -> dict[str, Any]:
    command, record = entry.command, entry.record
    return {
        "command": {
            "id": command.id,
            "operation": str(command.operation),
            "audience": list(command.audience),
            "fleet": command.fleet,
            "issued_at": command.issued_at,
            "expires_at": command.expires_at,
            "nonce": base64.b64encode(command.nonce).decode(),
            "arguments": dict(command.arguments) if entry.is_open else {},
        },
        "by": command.by,
        "state": str(record.state),
        "reason": record.reason,
        "result": _kept(record.result),
        "at": record.changed_at,
        "begun": entry.begun,
        "memo": dict(entry.memo),
    }


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    if len(tell_json(dict(result))) <= RESULT_KEPT_BYTES:
        return dict(result)
    return {"cut": "The result was shown before the host was restarted, and is not kept."}


def _read_entry(document: Mapping[str, Any]) -> Entry:
    command = read_command(document["command"], by=str(document["by"]))
    record = CommandRecord(
        id=command.id,
        operation=Operation(command.operation),
        state=CommandState(document["state"]),
        reason=str(document["reason"]),
        result=dict(document["result"]),
        by=command.by,
        changed_at=float(document["at"]),
    )
    return Entry(command, record, int(document["begun"]), dict(document["memo"]))
