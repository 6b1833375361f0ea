"""The agent's life without its process: verdicts on a trial, safe mode by order, what leads out of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.composition.life_opening import data_folder, open_generations, open_life
from edgehost.domain.config_generation import Generation, Standing
from edgehost.domain.errors import ConflictError, InvalidConfigError, RemoteUnreachableError, UnavailableError
from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.watch_safe_mode import leave_after, leave_for_news

TEXT = b"[api]\ntcp_port = 0\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a host that was well on its first configuration."""
    path = tmp_path / "edgehost.toml"
    path.write_bytes(TEXT)
    with open_life(path) as life:
        asyncio.run(life.prove())
        life.note_end()
    return path


def test_a_trial_fails_when_components_that_ran_before_do_not_run_on_it(file: Path) -> None:
    with open_life(file) as life:
        asyncio.run(life.prove(["was-down-before"]))
        life.note_end()
    file.write_bytes(TEXT + b"[keep]\nreleases = 4\n")
    told: list[Generation] = []
    stopped: list[bool] = []
    with open_life(file) as life:
        life.notice, life.stop = told.append, lambda: stopped.append(True)
        asyncio.run(life.prove(["was-down-before", "telemetry"]))
        assert (life.restarting, stopped) == (True, [True])
        assert told[0].standing is Standing.FAILED
        assert told[0].reason == "Components that ran before do not run on it: telemetry."
    with open_life(file) as life:
        assert life.generation.number == 1


def test_a_trial_holds_when_what_is_down_was_down_before(file: Path) -> None:
    with open_life(file) as life:
        asyncio.run(life.prove(["pump"]))
        life.note_end()
    file.write_bytes(TEXT + b"[keep]\nreleases = 4\n")
    with open_life(file) as life:
        asyncio.run(life.prove(["pump"]))
        assert life.generation.standing is Standing.GOOD


def test_an_error_on_a_trial_leads_back_and_one_on_a_good_generation_does_not(file: Path) -> None:
    file.write_bytes(TEXT + b"[keep]\nreleases = 4\n")
    with open_life(file) as life:
        assert life.gives_up_on(ValueError("odd"))
        life.note_end()
    with open_life(file) as life:
        assert life.generation.number == 1
        assert not life.gives_up_on(ValueError("odd"))
        life.note_crash(ValueError("odd"))
    with open_life(file) as life:  # its report is not made a second time
        (report,) = life.crashes.all()
        assert (report.kind, report.reason) == ("exception", "ValueError: odd")
        assert life.previous == "died"


def test_safe_mode_by_order_stays_until_it_is_left(file: Path) -> None:
    with open_life(file, safe=True) as life:
        assert "--safe" in life.safe
        life.note_end()
    with open_life(file) as life:
        assert life.safe
        asyncio.run(life.leave_safe_mode())
        assert life.safe  # until this run ends, components stay off
        life.note_end()
    with open_life(file) as life:
        assert not life.safe
        with pytest.raises(ConflictError):
            asyncio.run(life.leave_safe_mode())


def test_one_host_lives_in_a_data_folder_at_a_time(file: Path) -> None:
    with open_life(file), pytest.raises(UnavailableError, match="another host"), open_generations(file):
        pass


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (b'[host]\ndata = "here"\n[api\n', "here"),
        (b'[host]\ndata = "here"\nhots = 1\n', "here"),
        (b"[host]\ndata = 7\n", "data"),
        (b"[host\n", "data"),
        (b"\xff\xfe", "data"),
    ],
)
def test_the_data_folder_is_found_in_a_broken_file(tmp_path: Path, text: bytes, folder: str) -> None:
    assert data_folder(text, tmp_path / "edgehost.toml") == tmp_path / folder


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    (tmp_path / "edgehost.toml").write_bytes(TEXT)
    with pytest.raises(InvalidConfigError, match="cannot be used"), open_life(tmp_path / "edgehost.toml"):
        pass


class Offering:
    """A follower that answers what a test decides."""

    def __init__(self, *answers: tuple[str, ...] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.news = asyncio.Event()

    async def unseen(self) -> tuple[str, ...]:
        self.asked += 1
        answer = self.answers.pop(0)
        if self.answers:
            self.news.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def left_for(follower: Any, before: str = "", *, patience_s: float = 20) -> list[tuple[str, bool]]:
    left: list[tuple[str, bool]] = []

    async def leave(what: str, by_itself: bool) -> None:
        left.append((what, by_itself))

    health = RemoteHealth("fleet")
    try:
        async with asyncio.timeout(patience_s):
            await leave_for_news(
                follower, health, follower.news, poll_s=60, clock=SystemClock(), left_for=before, leave=leave
            )
    except TimeoutError:
        assert not left
    return left


async def test_a_new_release_leads_out_of_safe_mode_but_the_same_one_does_not_twice() -> None:
    follower = Offering(RemoteUnreachableError("away"), (), ("b", "a"))
    ((what, by_itself),) = await left_for(follower)
    assert (follower.asked, by_itself) == (3, False)
    assert await left_for(Offering(("a", "b")), before=what, patience_s=0.1) == []
    assert await left_for(Offering(("a", "b"), ("a", "c")), before=what)


async def test_the_pause_leads_out_of_safe_mode_by_itself() -> None:
    left: list[tuple[str, bool]] = []

    async def leave(what: str, by_itself: bool) -> None:
        left.append((what, by_itself))

    await leave_after(0.0, leave)
    assert left == [("", True)]
