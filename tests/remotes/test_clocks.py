"""Clocks that are wrong: at 1970, years ahead, jumping. Good releases come through, stale ones do not, errors are plain."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgehost.domain.errors import UntrustedReleaseError
from remotes.clock_floor import read_floor, signed_time
from remotes.publisher import refresh_metadata
from remotes.remote import TrustedRemote
from remotes.trust import CheckRequest, check_repository
from tests.remotes.workshop import DAY, NOW, Workshop, open_site

IN_2040 = datetime(2040, 1, 1, tzinfo=UTC).timestamp()


def check(shop: Workshop, folder: Path, now: float, files: dict[str, bytes] | None = None) -> Any:
    served = files or shop.files()
    request = CheckRequest("demo", folder, shop.root_file, now)
    return check_repository(request, lambda path, _most: served.get(path))


def refreshed(shop: Workshop, *, days: float) -> None:
    shop.now += days * DAY
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)


def test_a_host_whose_clock_was_years_ahead_for_an_hour_goes_on_once_it_is_set(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    check(shop, tmp_path / "trusted", NOW)
    refreshed(shop, days=1)
    with pytest.raises(UntrustedReleaseError):
        check(shop, tmp_path / "trusted", IN_2040 - 3600)
    with pytest.raises(UntrustedReleaseError) as refusal:
        check(shop, tmp_path / "trusted", IN_2040)
    # Both times, and what to do.
    assert "judged at 2040-01-01 00:00 UTC by this machine's clock" in refusal.value.message
    assert "signatures vouch for is 2027-01-1" in refusal.value.message
    assert "Check this machine's clock, which is 47" in refusal.value.hint
    assert read_floor(tmp_path / "trusted").seconds < NOW + 2 * DAY
    assert check(shop, tmp_path / "trusted", shop.now).offers


def test_a_clock_that_was_ahead_within_what_is_signed_is_outlived_by_the_next_timestamp(
    tmp_path: Path,
) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    check(shop, tmp_path / "trusted", NOW + 29 * DAY)
    assert read_floor(tmp_path / "trusted").seconds == NOW + 29 * DAY
    for _ in range(29):
        refreshed(shop, days=1)
        assert check(shop, tmp_path / "trusted", shop.now).offers


def test_a_clock_at_1970_takes_what_is_fresh_and_refuses_what_is_stale(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    stale = shop.files()
    refreshed(shop, days=200)
    shop.publish("1.1.0")
    assert [each.version for each in check(shop, tmp_path / "trusted", 0.0).offers] == ["1.0.0", "1.1.0"]
    with pytest.raises(UntrustedReleaseError, match="rollback"):
        check(shop, tmp_path / "trusted", 0.0, stale)
    with pytest.raises(UntrustedReleaseError, match=r"freeze.*judged at") as refusal:
        check(shop, tmp_path / "newcomer", shop.now, stale)
    assert "by this machine's clock" in refusal.value.message


def test_what_is_too_old_by_signed_times_alone_is_not_blamed_on_the_clock(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    check(shop, tmp_path / "trusted", NOW)
    frozen = shop.files()
    check(shop, tmp_path / "trusted", NOW + 29.9 * DAY)  # the machine was set, then lost its clock
    shop.now = NOW + 29 * DAY
    later = shop.files() | shop.forged_state(shop.targets(), number=9)
    check(shop, tmp_path / "trusted", 0.0, later)
    shop.now += 100 * DAY
    refresh_metadata(shop.folder, signers=[shop.online], now=shop.now)
    with pytest.raises(UntrustedReleaseError, match="rollback"):
        check(shop, tmp_path / "trusted", 0.0, frozen)


def test_a_board_whose_clock_is_never_right_is_told_to_go_by_signed_times(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    never_right = signed_time(tmp_path / "trusted")
    assert check(shop, tmp_path / "trusted", never_right()).reference == NOW
    stale = shop.files()
    refreshed(shop, days=400)
    shop.publish("1.1.0")
    assert len(check(shop, tmp_path / "trusted", never_right()).offers) == 2
    assert signed_time(tmp_path / "trusted")() >= NOW + 400 * DAY
    with pytest.raises(UntrustedReleaseError):
        check(shop, tmp_path / "trusted", never_right(), stale)


async def test_a_clock_that_jumps_both_ways_in_the_middle_of_a_transfer(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        shop = site.shop
        offer = (await site.remote.refresh())[0]
        shop.now = IN_2040
        with pytest.raises(UntrustedReleaseError) as refusal:
            await site.remote.fetch(offer)
        assert "held until 2027-" in refusal.value.message
        assert "clock says 2040-01-01" in refusal.value.message
        with pytest.raises(UntrustedReleaseError, match="by this machine's clock"):
            await site.remote.refresh()
        shop.now = 0.0
        assert await site.remote.fetch(offer)
        shop.now = NOW + DAY
        await site.remote.refresh()
        assert await site.remote.fetch(offer)


async def test_a_clock_that_jumps_ahead_while_nothing_new_is_found_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_site("folder", tmp_path) as site:
        shop = site.shop
        await site.remote.refresh()
        real = TrustedRemote._fetch_file

        async def jumping(remote: TrustedRemote, path: str, most_bytes: int) -> bytes | None:
            shop.now = IN_2040  # after it was judged that what is known still holds
            return await real(remote, path, most_bytes)

        monkeypatch.setattr(TrustedRemote, "_fetch_file", jumping)
        assert await site.remote.refresh()
        monkeypatch.undo()
        shop.now = NOW + DAY
        shop.publish("1.2.0")
        await site.serve(shop.files())
        assert len(await site.remote.refresh()) == 4
