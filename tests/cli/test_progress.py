"""What is quick says nothing; what is slow says how far it is."""

from __future__ import annotations

import io
import threading

import pytest

from edgehost.cli import progress
from edgehost.cli.output import Output, printable, size, table
from edgehost.cli.progress import Progress


class _Stream(io.StringIO):
    """Tells when so many lines were written."""

    def __init__(self, *, terminal: bool, wanted: int) -> None:
        super().__init__()
        self._terminal, self._left = terminal, wanted
        self.has_enough = threading.Event()

    def isatty(self) -> bool:
        return self._terminal

    def flush(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.has_enough.set()


def test_a_quick_step_says_nothing() -> None:
    stream = _Stream(terminal=True, wanted=1)
    with Progress("publishing", Output(), stream=stream) as bar:
        bar.moved_to(10, 10)
    assert stream.getvalue() == ""


def test_a_slow_step_draws_a_bar_on_a_terminal_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    monkeypatch.setattr(progress, "_REDRAW_S", 0.001)
    stream = _Stream(terminal=True, wanted=2)
    with Progress("publishing", Output(), stream=stream) as bar:
        bar.moved_to(5, 10)
        assert stream.has_enough.wait(10)
    text = stream.getvalue()
    assert "publishing [###############---------------]  50%, 5 of 10, 0 s" in text
    assert text.endswith("\r\x1b[K")


def test_a_slow_step_writes_ever_rarer_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.01)
    stream = _Stream(terminal=False, wanted=3)
    with Progress("building", Output(), stream=stream) as bar:
        assert stream.has_enough.wait(10)
        bar.moved_to(1, 4)
    assert stream.getvalue().startswith("building: 0 s\nbuilding: 0 s\n")


def test_json_output_has_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    stream = _Stream(terminal=False, wanted=1)
    with Progress("x", Output(as_json=True), stream=stream) as bar:
        bar.moved_to(1, 2)
    assert stream.getvalue() == ""


def test_control_characters_of_a_guest_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\tc\u202e") == "a\\x1b[2Jb\tc\\x202e"


def test_columns_are_as_wide_as_their_contents() -> None:
    assert table(("name", "state"), [("telemetry", "live"), ("x", "")]) == [
        "NAME       STATE",
        "telemetry  live",
        "x",
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text
