"""Deltas: what a host that has the release before need not fetch."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import DamagedError, NotFoundError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.transfer import Transfer
from remotes.delta import apply_delta, make_delta
from remotes.pace import Pace
from tests.remotes.workshop import Site, component_bytes, open_site

EXAMPLES = Path("examples")


async def two_releases(site: Site, before: bytes, after: bytes) -> tuple[OfferedRelease, OfferedRelease]:
    """Both as the host has checked them."""
    site.shop.publish("1.0.0", name="greeter", content=before)
    change = site.shop.publish("1.1.0", name="greeter", content=after)
    await site.shop.mirror(site.transport)
    assert (
        {f"chunk/{chunk}" for chunk in change.release.deltas[0].chunks} <= change.fresh
        if change.release
        else False
    )
    old, new = [each for each in await site.remote.refresh() if each.component == "greeter"]
    return old, new


@given(base=st.binary(max_size=9000), target=st.binary(max_size=9000))
@settings(max_examples=60)
def test_whatever_the_two_are_the_delta_makes_the_second_of_the_first(base: bytes, target: bytes) -> None:
    assert apply_delta(base, make_delta(base, target), size_bytes=len(target)) == target


def test_a_small_change_of_a_component_is_a_small_delta() -> None:
    before = (EXAMPLES / "telemetry" / "telemetry-1.0.0.wasm").read_bytes()
    after = (EXAMPLES / "telemetry-1.1.0" / "telemetry-1.1.0.wasm").read_bytes()
    assert len(make_delta(before, after)) < len(after) / 8


def test_code_that_moved_by_a_hundred_kilobytes_is_found_again() -> None:
    code = component_bytes(200_000, "1")
    after = component_bytes(100_000, "2") + code
    assert len(make_delta(code, after)) < 110_000


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_torn_delta_is_damage_and_nothing_else(cut: int) -> None:
    base = b"component" * 900
    delta = make_delta(base, base + b"!")
    with pytest.raises(DamagedError):
        apply_delta(base, delta[:cut], size_bytes=len(base) + 1)


@given(noise=st.binary(max_size=200))
@settings(max_examples=60)
def test_noise_behind_the_head_makes_no_more_than_the_release_has(noise: bytes) -> None:
    head = make_delta(b"", b"x" * 5000)[:8]
    with pytest.raises(DamagedError):
        apply_delta(b"base", head + noise, size_bytes=5000)


def test_a_piece_that_swells_is_cut_off() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(b"\0" * 4_000_000) + deflate.flush()
    delta = struct.pack(">4sI", b"EHD1", 5000) + struct.pack(">IH", 0, len(bomb)) + bomb
    with pytest.raises(DamagedError, match="more or less"):
        apply_delta(b"", delta, size_bytes=5000)


async def test_a_host_with_the_release_before_fetches_the_difference_only(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        before = component_bytes(90_000, "3")
        after = before[:40_000] + b"a change" + before[40_000:]
        old, new = await two_releases(site, before, after)
        shelf = {old.digest: before}

        async def base(digest: str) -> bytes:
            if digest not in shelf:
                raise NotFoundError("It is not here.")
            return shelf[digest]

        transfer = Transfer()
        seen: list[tuple[int, int]] = []
        content = await site.remote.fetch(
            new, base=base, transfer=transfer, progress=lambda *at: seen.append(at)
        )
        assert content == after
        assert transfer.base == old.digest
        assert transfer.received_bytes < 12_000
        assert seen[-1] == (new.size_bytes, new.size_bytes)

        shelf.clear()
        transfer = Transfer()
        assert await site.remote.fetch(new, base=base, transfer=transfer) == after
        assert transfer.base == ""
        assert transfer.received_bytes == len(after)


async def test_a_damaged_base_or_a_lost_delta_costs_the_saving_and_nothing_else(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        before = component_bytes(50_000, "4")
        after = before + b"more"
        _, new = await two_releases(site, before, after)

        async def wrong(_digest: str) -> bytes:
            return b"another release" * 4000

        assert await site.remote.fetch(new, base=wrong) == after

        async def right(_digest: str) -> bytes:
            return before

        for chunk in new.deltas[0].chunks:
            await site.transport.remove(f"chunk/{chunk}")
        transfer = Transfer()
        assert await site.remote.fetch(new, base=right, transfer=transfer) == after
        assert transfer.base == ""


async def test_a_pace_spreads_what_is_received_and_costs_nothing_when_off() -> None:
    moment = 0.0
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal moment
        slept.append(seconds)
        moment += seconds

    pace = Pace(1000, now=lambda: moment, sleep=sleep)
    for _ in range(4):
        await pace.wait()
        pace.received(500)
    assert moment == pytest.approx(1.5)
    off = Pace(0, now=lambda: moment, sleep=sleep)
    off.received(10**9)
    await off.wait()
    assert len(slept) == 3
