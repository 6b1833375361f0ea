"""What became of a bundle, in a file beside it: for whoever carries the stick and has no other way to ask."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgehost.domain.errors import EdgehostError
from edgehost.domain.signed_content import SignedContent
from remotes.durable_file import write_durably
from remotes.stick_transport import MOST_BUNDLES, Bundle

REPORT_SUFFIX: Final = ".report.json"
#: Releases told of in one report.
_MOST_RELEASES: Final = 1000
_MOST_REFUSALS: Final = 100
_HERE: Final = "already here"
_NOTHING_NEW: Final = "Nothing in it was new to this host."
_LOG: Final = logging.getLogger(__name__)


class Outcome(enum.StrEnum):
    """How it went with a bundle."""

    TAKEN = "taken"  # its metadata holds, and is what this host trusts now
    OLDER = "older"  # this host knows a newer state, from a newer bundle or another time
    REFUSED = "refused"  # its metadata does not hold
    UNREADABLE = "unreadable"  # it is no bundle, is cut, or its medium failed


@dataclass(slots=True)
class _Entry:
    bundle: Bundle
    outcome: Outcome
    reason: str
    hint: str
    at: float
    releases: dict[str, dict[str, str]] = field(default_factory=dict)  # by path as signed
    refusals: list[str] = field(default_factory=list)
    written: bool = False


#: Bundle, outcome, code of the error ("" for none), reason.
Tell = Callable[[Bundle, Outcome, str, str], None]
Has = Callable[[SignedContent], Awaitable[bool]]


class BundleReports:
    """The reports of the bundles that are there."""

    def __init__(self, *, remote: str, host: str, now: Callable[[], float]) -> None:
        self._remote, self._host, self._now = remote, host, now
        self.tell: Tell = _tell_nobody  # hears of each bundle and outcome once
        self.has: Has = _has_nothing  # whether the host has it, and had it before this bundle brought it
        self._entries: dict[Path, _Entry] = {}

    def note(
        self, bundle: Bundle, outcome: Outcome, error: EdgehostError | None = None, *, reason: str = ""
    ) -> None:
        """How it went; told once for each bundle and outcome."""
        reason, hint, code = (error.message, error.hint, error.code) if error else (reason, "", "")
        entry = self._entries.get(bundle.path)
        if (
            entry is not None
            and entry.bundle.mark == bundle.mark
            and (entry.outcome, entry.reason) == (outcome, reason)
        ):
            return
        self._entries[bundle.path] = _Entry(bundle, outcome, reason, hint, self._now())
        while len(self._entries) > 2 * MOST_BUNDLES:
            del self._entries[next(iter(self._entries))]
        self.tell(bundle, outcome, code, reason)

    async def offer(self, bundle: Bundle, contents: Iterable[SignedContent]) -> None:
        """What the bundle carries, as soon as that is known."""
        entry = self._entries.get(bundle.path)
        if entry is None:
            return
        for content in contents:
            if content.target_path not in entry.releases and len(entry.releases) < _MOST_RELEASES:
                state = _HERE if await self.has(content) else "carried"
                entry.releases[content.target_path] = {"digest": content.digest, "state": state}
                entry.written = False

    def note_release(self, target_path: str, state: str, reason: str = "") -> None:
        """What became of something that a bundle carries."""
        for entry in self._entries.values():
            row = entry.releases.get(target_path)
            if row is not None and (row["state"], row.get("reason", "")) != (state, reason):
                row["state"] = state
                row.pop("reason", None)
                if reason:
                    row["reason"] = reason
                entry.written = False

    def note_refusal(self, reason: str) -> None:
        """Something that a bundle carries is not for this host."""
        for entry in self._entries.values():
            if entry.outcome is Outcome.TAKEN and reason not in entry.refusals[-_MOST_REFUSALS:]:
                entry.refusals = [*entry.refusals, reason][-_MOST_REFUSALS:]
                entry.written = False

    def forget_absent(self, bundles: Iterable[Bundle]) -> None:
        """A bundle that was pulled and comes back is reported anew."""
        here = {bundle.path for bundle in bundles}
        self._entries = {path: entry for path, entry in self._entries.items() if path in here}

    async def flush(self) -> None:
        """Write what changed, where it can be written; a stick that cannot is no error."""
        changed = {path: entry for path, entry in self._entries.items() if not entry.written}
        for path, entry in changed.items():
            entry.written = True
            await asyncio.to_thread(_write, report_path(path), self._document(entry))

    def _document(self, entry: _Entry) -> bytes:
        document: dict[str, Any] = {
            "bundle": entry.bundle.path.name,
            "host": self._host,
            "remote": self._remote,
            # By this machine's clock, which may be wrong where there is no network.
            "checked_at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="microseconds"),
            "outcome": str(entry.outcome),
            "reason": _NOTHING_NEW if _brought_nothing(entry) else entry.reason,
            "hint": entry.hint,
            "version": entry.bundle.claimed,
            "contents": entry.releases,
            "refusals": entry.refusals,
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def _brought_nothing(entry: _Entry) -> bool:
    states = {row["state"] for row in entry.releases.values()}
    return entry.outcome is Outcome.TAKEN and states == {_HERE} and not entry.refusals


async def _has_nothing(_content: SignedContent) -> bool:
    """Until somebody knows."""
    return False


def _tell_nobody(_bundle: Bundle, _outcome: Outcome, _code: str, _reason: str) -> None:
    """Until somebody wants to know."""


def _write(path: Path, content: bytes) -> None:
    with suppress(OSError, EdgehostError):
        write_durably(path, content)


def report_path(bundle: Path) -> Path:
    """Where a bundle's report is: ``NAME.report.json`` beside ``NAME.edgehost-bundle``."""
    return bundle.with_suffix(REPORT_SUFFIX)
