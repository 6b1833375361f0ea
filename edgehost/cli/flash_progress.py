"""Shows a flash: a bar with rate and time left on a terminal, a line for each step elsewhere, NDJSON with --json."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Final, Self, TextIO

from edgehost.cli.output import Output, one_line, printable, size
from edgehost.domain.flashing import FlashOutcome, FlashProgress, Phase

_REDRAW_S: Final = 0.1
#: Of a phase as JSON: not every block of 128 bytes.
_STEPS_AS_JSON: Final = 20
_BAR_WIDTH: Final = 30
_TITLES: Final = {
    Phase.CONNECT: "Connecting",
    Phase.ERASE: "Erasing",
    Phase.WRITE: "Writing",
    Phase.VERIFY: "Verifying",
    Phase.RESTART: "Starting the firmware",
}
#: What Ctrl-C leaves, by the phase that it came in.
_INTERRUPTED: Final[dict[Phase | None, str]] = {
    Phase.ERASE: "Interrupted while erasing: the board has no whole firmware; flash it again.",
    Phase.WRITE: "Interrupted while writing: the board has no whole firmware, or the old one; flash it again.",
    Phase.VERIFY: "Interrupted while verifying: the firmware is written, but nobody has looked at the rest of it.",
    Phase.RESTART: "Interrupted while starting the firmware: it is written; reset the board.",
}


class FlashView:
    """One flash on the screen; a context manager for the time in which the bar moves."""

    def __init__(
        self, out: Output, *, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._now = out, now
        self._stream = sys.stderr if stream is None else stream
        self._moves = self._stream.isatty() and not out.as_json
        self._phase: Phase | None = None
        self._began = self._drawn = 0.0
        self._shown = -1
        self._has_bar = False

    def plan(self, document: Mapping[str, Any]) -> None:
        """What is about to be done."""
        if self._out.as_json:
            self._out.item({"event": "plan", **document}, "")
            return
        image = document["image"]
        version = f" {image['version']}" if image["version"] else ""
        where = f" over {document['line']}" if document["line"] else ""
        speed = f", {document['baud']} baud" if document["baud"] else ""
        tool = f" by {document['tool']}" if document["tool"] not in ("", "built-in") else ""
        self._out.note(
            f"{image['name']}{version}: {size(image['size_bytes'])} of {image['format']} for {document['board']}"
            f"{where} ({document['protocol']}{tool}{speed})."
        )
        if len(image["parts"]) > 1:
            for part in image["parts"]:
                self._out.note(f"  0x{part['address']:08x}  {size(part['size_bytes']):>10}  {part['role']}")
        for note in document["notes"]:
            self._out.note(f"Note: {note}")

    def note(self, line: str) -> None:
        """One sentence for people."""
        self._out.note(line)

    def __enter__(self) -> Self:
        """The clock runs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The terminal's line is free again."""
        self._end_bar()

    def report(self, progress: FlashProgress) -> None:
        """One report of the programmer."""
        is_new = progress.phase is not self._phase
        if is_new:
            self._end_bar()
            self._phase, self._began, self._shown = progress.phase, self._now(), -1
        if self._out.as_json:
            self._as_json(progress)
        elif self._moves:
            self._as_bar(progress)
        else:
            self._as_lines(progress, is_new=is_new)

    def failed(self, state: str) -> None:
        """It broke off; the error itself is told by whoever catches it."""
        self._end_bar()
        if self._out.as_json:
            self._out.item({"event": "failed", "board_state": str(state)}, "")

    def interrupted(self) -> None:
        """Ctrl-C: what it came to is all that anybody will hear."""
        self._end_bar()
        if self._out.as_json:
            self._out.item({"event": "interrupted", "phase": str(self._phase or "")}, "")
        self._out.note(_INTERRUPTED.get(self._phase, "Nothing was written yet."))

    def done(self, outcome: Mapping[str, Any]) -> None:
        """It went well."""
        rate = outcome["written_bytes"] / max(outcome["seconds"], 0.001)
        skipped = f", {size(outcome['skipped_bytes'])} were there already" if outcome["skipped_bytes"] else ""
        checked = "verified" if outcome["verified"] else "not verified"
        line = (
            f"Wrote {size(outcome['written_bytes'])} to {outcome['chip']} in {outcome['seconds']:.1f} s "
            f"({size(round(rate))}/s), {checked}{skipped}."
        )
        self._out.item({"event": "done", **outcome}, line)
        for note in outcome["notes"]:
            self._out.note(f"Note: {note}")

    def _as_json(self, progress: FlashProgress) -> None:
        step = progress.done * _STEPS_AS_JSON // progress.total if progress.total else 0
        if step == self._shown and not progress.detail:
            return
        self._shown = step
        self._out.item({"event": "progress", **asdict(progress)}, "")

    def _as_lines(self, progress: FlashProgress, *, is_new: bool) -> None:
        title = _TITLES[progress.phase]
        if progress.detail:
            self._out.note(f"{title}: {one_line(progress.detail)}.")
        elif progress.total and progress.done == progress.total:
            spent = self._now() - self._began
            self._out.note(f"{title}: {size(progress.total)} in {spent:.1f} s.")
        elif is_new:
            self._out.note(f"{title} ...")

    def _as_bar(self, progress: FlashProgress) -> None:
        now = self._now()
        is_end = bool(progress.total) and progress.done == progress.total
        if progress.detail or (now - self._drawn < _REDRAW_S and not is_end and self._has_bar):
            if progress.detail:
                self._draw(f"{_TITLES[progress.phase]}: {one_line(progress.detail)}")
            return
        self._drawn = now
        self._draw(bar_line(progress, now - self._began))

    def _draw(self, text: str) -> None:
        self._stream.write(f"\r{printable(text)}\x1b[K")
        self._stream.flush()
        self._has_bar = True

    def _end_bar(self) -> None:
        if self._has_bar:
            self._stream.write("\n")
            self._stream.flush()
        self._has_bar = False


def bar_line(progress: FlashProgress, spent_s: float) -> str:
    """``Writing [####----]  50%  12.0 KiB of 24.0 KiB  5.6 KiB/s  2 s left``."""
    title = _TITLES[progress.phase]
    if not progress.total:
        return f"{title} ..."
    share = min(progress.done / progress.total, 1.0)
    filled = round(share * _BAR_WIDTH)
    text = f"{title:<9} [{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {share:4.0%}"
    text += f"  {size(progress.done)} of {size(progress.total)}"
    if progress.done and spent_s > 0:
        rate = progress.done / spent_s
        text += f"  {size(round(rate))}/s"
        left = (progress.total - progress.done) / rate
        text += f"  {left:.0f} s left" if progress.done < progress.total else f"  {spent_s:.1f} s"
    return text


def outcome_document(outcome: FlashOutcome) -> dict[str, Any]:
    """The outcome as JSON shows it."""
    return asdict(outcome)
