"""Reports that hosts have signed: nobody else's word counts, whatever is written at the broker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.fleet.host_key import HostKey, open_host_key
from edgehost.adapters.fleet.signed_reports import SignedReports
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.json_text import write_json
from edgehost.domain.rollout_messages import report_document
from edgehost.domain.rollout_report import RolloutReport, RolloutState


def report(state: RolloutState, host: str = "one", **more: Any) -> RolloutReport:
    return replace(RolloutReport(host, "north", "spring", 3, "ab" * 32, 0, state, 5.0), **more)


def payload(by: HostKey, said: RolloutReport, fleet: str = "yard", **over: Any) -> bytes:
    shown = SignedReports(fleet, said.host).own(said, by)
    return write_json({**report_document(said), **shown, **over})


@pytest.fixture
async def key(tmp_path: Path) -> HostKey:
    return await open_host_key(tmp_path / "one.json")


@pytest.fixture
async def other(tmp_path: Path) -> HostKey:
    return await open_host_key(tmp_path / "other.json")


def states(reports: SignedReports) -> dict[str, RolloutState]:
    return {each.host: each.state for each in reports.reports("spring")}


async def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = await open_host_key(tmp_path / "data" / "key.json")
    assert (tmp_path / "data" / "key.json").stat().st_mode & 0o777 == 0o600
    assert (await open_host_key(tmp_path / "data" / "key.json")).public == first.public
    assert "private" not in repr(first)
    (tmp_path / "data" / "key.json").chmod(0o644)
    with pytest.raises(InvalidConfigError, match="read by others"):
        await open_host_key(tmp_path / "data" / "key.json")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "other.json").chmod(0o600)
    with pytest.raises(InvalidConfigError, match="no key"):
        await open_host_key(tmp_path / "other.json")


async def test_what_the_listed_host_signed_counts_and_says_with_which_key(key: HostKey) -> None:
    reports = SignedReports("yard", "two")
    reports.trust("spring", {"one": key.public.hex()})
    reports.take("one", "spring", payload(key, report(RolloutState.SOAKING, reason="it soaks")))
    (found,) = reports.reports("spring")
    assert found == report(RolloutState.SOAKING, reason="it soaks", key=key.public.hex())


async def test_forged_foreign_and_unsigned_reports_change_nothing(key: HostKey, other: HostKey) -> None:
    reports = SignedReports("yard", "two")
    reports.trust("spring", {"one": key.public.hex()})
    reports.take("one", "spring", payload(key, report(RolloutState.SOAKING)))
    failed = report(RolloutState.FAILED)
    for forged in (
        write_json(report_document(failed)),
        payload(other, failed),
        payload(other, failed, key=key.public.hex()),
        payload(key, failed, fleet="field"),
        payload(key, report(RolloutState.FAILED, host="three")),
        payload(key, report(RolloutState.FAILED, deployment="summer")),
        payload(key, failed, signed="!"),
        payload(key, failed, key="00"),
        b"nonsense",
        b"",
    ):
        reports.take("one", "spring", forged)
    reports.take("three", "spring", payload(other, report(RolloutState.FAILED, host="three")))
    assert states(reports) == {"one": RolloutState.SOAKING}


async def test_words_beside_the_signature_are_for_people_alone(key: HostKey) -> None:
    reports = SignedReports("yard", "two")
    reports.take("one", "spring", payload(key, report(RolloutState.SOAKING), state="failed"))
    assert states(reports) == {"one": RolloutState.SOAKING}


async def test_a_state_that_was_left_is_not_taken_again_though_the_clock_went_back(key: HostKey) -> None:
    reports = SignedReports("yard", "two")
    old = payload(key, report(RolloutState.APPLYING, since=9.0))
    for said in (old, payload(key, report(RolloutState.SUCCESSFUL, since=2.0)), old):
        reports.take("one", "spring", said)
    assert states(reports) == {"one": RolloutState.SUCCESSFUL}
    reports.take("one", "spring", payload(key, report(RolloutState.WAITING, sequence=4, digest="cd" * 32)))
    reports.take("one", "spring", payload(key, report(RolloutState.FAILED)))
    assert states(reports) == {"one": RolloutState.WAITING}


async def test_what_came_before_the_deployment_is_sifted_when_its_keys_are_known(
    key: HostKey, other: HostKey
) -> None:
    reports = SignedReports("yard", "two")
    reports.take("one", "spring", payload(key, report(RolloutState.SOAKING)))
    reports.take("three", "spring", payload(other, report(RolloutState.FAILED, host="three")))
    assert not reports.is_wanted("spring")
    reports.trust("spring", {"one": key.public.hex()})
    assert reports.is_wanted("spring")
    assert states(reports) == {"one": RolloutState.SOAKING}
    reports.trust("spring", {})
    assert not reports.is_wanted("spring")


async def test_the_shown_report_stays_readable_for_mosquitto_sub(key: HostKey) -> None:
    shown = json.loads(payload(key, report(RolloutState.SOAKING)))
    assert (shown["state"], shown["key"]) == ("soaking", key.public.hex())
