"""What is quick says nothing; what is slow says how far it is."""

from __future__ import annotations

import io
import time

import pytest

from edgehost.cli import progress
from edgehost.cli.output import Output, printable, size, table
from edgehost.cli.progress import Progress, waiting


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Told(io.StringIO):
    """Ends the test's wait once something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        self.lines.append(text)
        return len(text)


def test_a_quick_step_says_nothing() -> None:
    stream = _Terminal()
    with Progress("publishing", Output(), stream=stream) as bar:
        bar.moved_to(10, 10)
    with waiting("building", Output(), stream=io.StringIO()):
        pass
    assert stream.getvalue() == ""


def test_a_slow_step_draws_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    stream = _Terminal()
    with Progress("publishing", Output(), stream=stream) as bar:
        bar.moved_to(512, 1024)
        bar.moved_to(1024, 1024)
    text = stream.getvalue()
    assert "publishing [###############---------------]  50% 512 B of 1.0 KiB" in text
    assert "100%" in text
    assert text.endswith("\r\x1b[K")


def test_a_slow_step_writes_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    stream = io.StringIO()
    with Progress("building", Output(), in_bytes=False, stream=stream) as bar:
        bar.moved_to(0, 0)  # nothing known yet
        bar.moved_to(1, 4)  # too soon for another line
        bar.moved_to(2, 4)
        bar.moved_to(4, 4)
    assert stream.getvalue() == "building: 0%, 0 of 0\nbuilding: 100%, 4 of 4\n"


def test_json_output_has_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    stream = io.StringIO()
    with Progress("x", Output(as_json=True), stream=stream) as bar:
        bar.moved_to(1, 2)
    with waiting("x", Output(as_json=True), stream=stream):
        pass
    assert stream.getvalue() == ""


def test_waiting_tells_how_long_it_has_been(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.01)
    stream = _Told()
    deadline = time.monotonic() + 10
    with waiting("calling", Output(), stream=stream):
        while len(stream.lines) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert stream.lines[0] == "calling: 0 s\n"


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
