"""Every programmer keeps the promises of its port, on a target whose power may be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from edgehost.domain.errors import ChipMismatchError, DeviceError, NoSyncError
from edgehost.domain.flashing import BoardState, FlashProgress, Phase
from tests.boards.programmer_bench import Bench, Reports, job_for, silent_device
from tests.contracts.programmers import BENCHES

ORDER = list(Phase)
CUTS = [
    (Phase.CONNECT, 0.0),
    (Phase.WRITE, 0.01),
    (Phase.WRITE, 0.5),
    (Phase.WRITE, 1.0),
    (Phase.VERIFY, 0.5),
]

#: How long each waits for the first answer; silence is silence after a shorter time as well.
FIRST_ANSWERS = [
    "an3155_loader._SYNC_S",
    "avr109._SYNC_S",
    "esp_programmer._SYNC_S",
    "smp_session._ECHO_S",
    "stk500v1._SYNC_S",
    "stk500v2._SIGN_ON_S",
]

BenchMaker = Callable[[], AbstractAsyncContextManager[Bench]]


@pytest.fixture(params=sorted(BENCHES))
def new_bench(request: pytest.FixtureRequest, tmp_path: Path) -> BenchMaker:
    return lambda: BENCHES[request.param](tmp_path)


def wanted(bench: Bench) -> bytes:
    return b"".join(segment.data for segment in bench.image.segments)


async def test_a_flash_writes_verifies_and_tells_every_byte_of_it(new_bench: BenchMaker) -> None:
    async with new_bench() as bench:
        reports = Reports()
        outcome = await bench.programmer.flash(job_for(bench), reports)
        assert bench.read_back() == wanted(bench)
    assert outcome.verified == bench.verifies
    assert outcome.written_bytes + outcome.skipped_bytes >= bench.image.size_bytes
    assert outcome.chip
    assert outcome.seconds > 0
    phases = [ORDER.index(report.phase) for report in reports]
    assert phases == sorted(phases)
    assert {Phase.CONNECT, Phase.WRITE} <= {report.phase for report in reports}
    for phase in {report.phase for report in reports if report.total}:
        counted = [report for report in reports if report.phase is phase and report.total]
        assert [report.done for report in counted] == sorted(report.done for report in counted)
        assert len({report.total for report in counted}) == 1
        assert counted[-1].done == counted[-1].total


async def test_the_protocol_is_the_boards(new_bench: BenchMaker) -> None:
    async with new_bench() as bench:
        assert bench.programmer.protocol == bench.board.flash.protocol


async def test_another_chip_is_refused_before_anything_is_erased(new_bench: BenchMaker) -> None:
    async with new_bench() as bench:
        if bench.wrong_board is None:
            pytest.skip("this protocol does not say what chip it is")
        before = bench.read_back()
        with pytest.raises(ChipMismatchError) as caught:
            await bench.programmer.flash(job_for(bench, board=bench.wrong_board), Reports())
        assert bench.read_back() == before
        assert caught.value.state == BoardState.UNTOUCHED
        assert caught.value.hint


async def test_silence_is_no_sync_with_a_hint_what_to_press(
    new_bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FIRST_ANSWERS:
        monkeypatch.setattr(f"edgehost.adapters.boards.{name}", 0.01)
    async with new_bench() as bench, silent_device().serving() as silent:
        if "://" not in bench.line:
            pytest.skip("no line of bytes")
        with pytest.raises(NoSyncError) as caught:
            await bench.programmer.flash(job_for(bench, line=silent.line), Reports())
        assert silent.line in caught.value.message, "who has several lines wants to know which was asked"
        assert caught.value.hint
        assert caught.value.state == BoardState.UNTOUCHED


@pytest.mark.parametrize(("phase", "share"), CUTS)
async def test_after_a_power_cut_the_state_is_the_true_one_and_the_next_flash_succeeds(
    new_bench: BenchMaker, phase: Phase, share: float
) -> None:
    async with new_bench() as bench:
        old, is_cut = bench.read_back(), False

        def cut(progress: FlashProgress) -> None:
            nonlocal is_cut
            if not is_cut and progress.phase is phase and progress.done >= share * progress.total:
                is_cut = True
                bench.cut_power()

        state = ""
        try:
            await bench.programmer.flash(job_for(bench), Reports(cut))
        except DeviceError as problem:
            state = problem.state
        assert bool(state) <= is_cut
        match state:
            case BoardState.UNTOUCHED:
                assert bench.read_back() == old
            case BoardState.PARTIAL | BoardState.RESUMABLE:
                pass  # anything goes, but the next flash
            case _:  # written; or it had all it needed before the cut, or has no such phase
                assert bench.read_back() == wanted(bench)
        await bench.restore_power()
        await bench.programmer.flash(job_for(bench), Reports())
        assert bench.read_back() == wanted(bench)


async def test_a_cancelled_flash_leaves_the_line_free(new_bench: BenchMaker) -> None:
    async with new_bench() as bench:
        under_way = asyncio.Event()

        def watch(progress: FlashProgress) -> None:
            if progress.phase is Phase.WRITE and progress.done:
                under_way.set()

        async with asyncio.TaskGroup() as tasks:
            flash = tasks.create_task(bench.programmer.flash(job_for(bench), Reports(watch)), name="flash")
            await under_way.wait()
            flash.cancel()
        assert flash.cancelled() or bench.read_back() == wanted(bench)
        if bench.needs_reset:
            bench.cut_power()
            await bench.restore_power()
        await bench.programmer.flash(job_for(bench), Reports())
        assert bench.read_back() == wanted(bench)
