"""Whose turn it is, decided by each host alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.deployment import Audience, Deployment, Rollout, Window
from edgehost.domain.maintenance_window import is_open
from edgehost.domain.rollout_decision import (
    Decision,
    FleetSight,
    advice_alone,
    decide,
    must_go_back,
    place_of,
)
from edgehost.domain.rollout_report import RolloutCommand, RolloutOrder, RolloutReport, RolloutState

NOON = datetime(2026, 11, 25, 12, 0)  # noqa: DTZ001 - local time; a Wednesday
HOSTS = {f"pi-{number}": {"site": "north" if number < 5 else "south", "class": "pi"} for number in range(10)}


def staged(*waves: float, **more: object) -> Deployment:
    return Deployment("sensors", 3, "d" * 64, rollout=Rollout(waves=waves or (1.0,), **more))  # type: ignore[arg-type]


def said(host: str, state: RolloutState, reason: str = "", *, digest: str = "d" * 64) -> RolloutReport:
    return RolloutReport(host, "", "sensors", 3, digest, 0, state, 0.0, reason)


def sight(host: str, *reports: RolloutReport, **more: object) -> FleetSight:
    return FleetSight(host, HOSTS[host], HOSTS, reports=reports, **more)  # type: ignore[arg-type]


def may(deployment: Deployment, seen: FleetSight, *, local: datetime = NOON, waited_s: float = 0) -> Decision:
    return decide(deployment, seen, local=local, waited_s=waited_s)


def waves_of(deployment: Deployment) -> dict[int, list[str]]:
    waves: dict[int, list[str]] = {}
    for host in HOSTS:
        waves.setdefault(place_of(deployment, sight(host)).wave, []).append(host)
    return waves


def test_one_of_a_sites_five_goes_first_on_each_site() -> None:
    waves = waves_of(staged(0.2, 1.0, within="site"))
    assert sorted(HOSTS[host]["site"] for host in waves[0]) == ["north", "south"]
    assert len(waves[1]) == 8


def test_waves_by_percentage_are_of_all_hosts() -> None:
    waves = waves_of(staged(0.1, 0.5, 1.0))
    assert [len(waves[number]) for number in range(3)] == [1, 4, 5]


def test_another_deployment_begins_with_another_host() -> None:
    first = {tuple(waves_of(replace(staged(0.1, 1.0), digest=f"{number:064x}"))[0]) for number in range(12)}
    assert len(first) > 3


@given(
    waves=st.lists(st.floats(0.01, 0.99), max_size=5, unique=True).map(lambda some: (*sorted(some), 1.0)),
    hosts=st.integers(1, 40),
)
def test_every_host_has_one_wave_and_the_first_is_never_empty(waves: tuple[float, ...], hosts: int) -> None:
    members = {f"h{number}": {"class": "pi"} for number in range(hosts)}
    deployment = staged(*waves)
    placed = [place_of(deployment, FleetSight(host, members[host], members)).wave for host in members]
    assert placed.count(0) >= 1
    assert max(placed) < len(waves)
    before = place_of(deployment, FleetSight("h0", members["h0"], members)).before
    assert len(before) == sum(wave < placed[0] for wave in placed)


def test_the_second_wave_waits_until_the_first_has_soaked_and_says_for_whom() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    assert may(deployment, sight(first)).go
    waiting = may(deployment, sight(last, said(first, RolloutState.SOAKING)))
    assert (waiting.go, waiting.halt) == (False, False)
    assert first in waiting.reason
    assert may(deployment, sight(last, said(first, RolloutState.SUCCESSFUL))).go


def test_a_report_of_another_document_is_no_report() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    assert not may(deployment, sight(last, said(first, RolloutState.SUCCESSFUL, digest="e" * 64))).go


def test_one_failure_halts_everybody_and_is_named() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    for last in waves_of(deployment)[1]:
        decision = may(deployment, sight(last, said(first, RolloutState.FAILED, "half of the calls failed")))
        assert decision.halt
        assert first in decision.reason
        assert "half of the calls failed" in decision.reason


def test_an_operator_resumes_what_a_failure_had_halted() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    resume = RolloutCommand("sensors", 3, RolloutOrder.RESUME, wave=1, by="mia")
    reports = (said(first, RolloutState.FAILED),)
    decision = may(deployment, sight(last, *reports, command=resume))
    assert not decision.halt
    stale = replace(resume, sequence=2)
    assert may(deployment, sight(last, *reports, command=stale)).halt


def test_a_host_that_is_away_is_waited_for_by_nobody_and_takes_its_turn_when_it_is_back() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    others = [host for host in HOSTS if host != first]
    places = {host: place_of(deployment, sight(host, away={first})).wave for host in others}
    assert list(places.values()).count(0) == 1
    assert may(deployment, sight(first, *(said(host, RolloutState.SUCCESSFUL) for host in others))).go


def test_hosts_that_are_not_meant_take_no_place() -> None:
    deployment = replace(staged(0.1, 1.0), hosts=Audience(labels={"site": "north"}))
    assert {place_of(deployment, sight(host)).wave for host in list(HOSTS)[:5]} == {0, 1}
    assert set(place_of(deployment, sight("pi-0")).all_hosts) == set(list(HOSTS)[:5])


def test_who_sees_nothing_of_the_fleet_waits_unless_the_deployment_says_how_long() -> None:
    alone = FleetSight("pi-0", HOSTS["pi-0"], connected=False)
    assert "does not see" in may(staged(0.1, 1.0), alone).reason
    blind = staged(0.1, 1.0, blind_after_s=3600.0)
    assert not may(blind, alone, waited_s=3599).go
    assert may(blind, alone, waited_s=3600).go
    assert may(staged(), alone).go


@pytest.mark.parametrize(
    "deployment",
    [
        staged(0.1, 1.0),
        staged(0.1, 1.0, approve=(1,)),
        staged(0.1, 1.0, approve=(0, 1)),
        staged(approve=(0,), blind_after_s=60.0),
        staged(all_hosts=True),
        staged(0.5, 1.0, all_hosts=True, approve=(0,), blind_after_s=60.0),
    ],
)
def test_what_is_advised_to_a_host_of_no_fleet_lets_it_begin(deployment: Deployment) -> None:
    alone = FleetSight("pi-0", HOSTS["pi-0"], connected=False, alone=True)
    assert not may(deployment, alone, waited_s=3600).go
    advice, mended = advice_alone(deployment), deployment.rollout
    if "without all_hosts" in advice:
        mended = replace(mended, all_hosts=False)
    if "an approval of wave 0" in advice:
        mended = replace(mended, approve=tuple(wave for wave in mended.approve if wave))
    if "with rollout.blind_after_s" in advice:
        mended = replace(mended, blind_after_s=60.0)
    assert may(replace(deployment, rollout=mended), alone, waited_s=3600).go, advice


def test_a_host_of_no_fleet_that_will_begin_by_itself_is_advised_to_wait() -> None:
    assert "wait: it begins by itself" in advice_alone(staged(0.1, 1.0, blind_after_s=60.0))
    assert advice_alone(staged()) == ""


def test_a_wave_that_needs_an_approval_waits_for_it() -> None:
    deployment = staged(0.1, 1.0, approve=(1,))
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    done = said(first, RolloutState.SUCCESSFUL)
    assert "edgehost fleet approve sensors" in may(deployment, sight(last, done)).reason
    approved = RolloutCommand("sensors", 3, RolloutOrder.APPROVE, wave=1)
    assert may(deployment, sight(last, done, command=approved)).go
    assert not may(deployment, sight(last, done, command=replace(approved, wave=0))).go


def test_a_transaction_waits_until_everybody_is_prepared_and_goes_back_when_one_fails() -> None:
    deployment = staged(all_hosts=True)
    ready = [said(host, RolloutState.PREPARED) for host in HOSTS]
    assert may(deployment, sight("pi-3", *ready)).go
    assert "pi-7 is not prepared" in may(deployment, sight("pi-3", *ready[:7], *ready[8:])).reason
    assert not may(deployment, sight("pi-3", *ready[:7], *ready[8:], away={"pi-7"})).go
    failed = said("pi-7", RolloutState.FAILED, "no room")
    assert "no room" in must_go_back(deployment, sight("pi-3", *ready[:7], failed))
    assert must_go_back(staged(), sight("pi-3", failed)) == ""


def test_an_operator_halts_and_aborts() -> None:
    halt = RolloutCommand("sensors", 3, RolloutOrder.HALT, by="mia")
    assert may(staged(), sight("pi-0", command=halt)).halt
    assert must_go_back(staged(), sight("pi-0", command=halt)) == ""
    abort = replace(halt, order=RolloutOrder.ABORT)
    assert may(staged(), sight("pi-0", command=abort)).halt
    assert "mia" in must_go_back(staged(), sight("pi-0", command=abort))


@pytest.mark.parametrize(
    ("window", "hour", "open_then"),
    [
        (Window(begin="10:00", end="13:00"), 12, True),
        (Window(begin="10:00", end="12:00"), 12, False),
        (Window(begin="22:00", end="04:00"), 3, True),
        (Window(begin="22:00", end="04:00"), 12, False),
        (Window(days=("wed",)), 12, True),
        (Window(days=("thu",)), 12, False),
        (Window(days=("tue",), begin="22:00", end="04:00"), 3, True),  # Tuesday's night
        (Window(days=("wed",), begin="22:00", end="04:00"), 3, False),
        (Window(begin="12:00"), 23, True),
    ],
)
def test_a_window_is_open_when_it_says(window: Window, hour: int, *, open_then: bool) -> None:
    assert is_open(window, NOON.replace(hour=hour)) is open_then


def test_outside_every_window_it_waits() -> None:
    night = staged(windows=(Window(begin="01:00", end="03:00"),))
    assert "window" in may(night, sight("pi-0")).reason
    assert may(night, sight("pi-0"), local=NOON.replace(hour=2)).go


def listed(**more: object) -> Deployment:
    return staged(0.1, 1.0, keys={host: f"{number:064x}" for number, host in enumerate(HOSTS)}, **more)


def test_where_keys_are_listed_only_what_is_signed_with_them_counts() -> None:
    deployment = listed()
    keys = deployment.rollout.keys
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    failed, done = said(first, RolloutState.FAILED), said(first, RolloutState.SUCCESSFUL)
    for forged in (failed, replace(failed, key="f" * 64), said("stranger", RolloutState.FAILED)):
        decision = may(deployment, sight(last, forged, key=keys[last]))
        assert (decision.go, decision.halt) == (False, False)
    assert not may(deployment, sight(last, done, key=keys[last])).go
    assert may(deployment, sight(last, replace(done, key=keys[first]), key=keys[last])).go
    assert may(deployment, sight(last, replace(failed, key=keys[first]), key=keys[last])).halt


def test_a_host_that_nobody_lists_takes_no_place_and_one_that_is_not_listed_says_so() -> None:
    deployment = listed()
    members = {**HOSTS, "stranger": {"site": "north", "class": "pi"}}
    for host, labels in HOSTS.items():
        seen = FleetSight(host, labels, members, key=deployment.rollout.keys[host])
        place = place_of(deployment, seen)
        assert "stranger" not in place.all_hosts
    stranger = FleetSight("stranger", members["stranger"], members, key="f" * 64)
    assert "is not in its [rollout.keys]" in may(deployment, stranger).reason
    assert "another key" in may(deployment, sight("pi-0", key="f" * 64)).reason
    assert "set fleet.sign_reports" in may(deployment, sight("pi-0")).reason


def test_who_was_set_aside_for_other_deployments_goes_last_and_halts_nobody() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    aside = {first: ("sensors 1", "sensors 2")}
    assert place_of(deployment, sight(first, set_aside=aside)).wave == 1
    failed = said(first, RolloutState.FAILED)
    assert not may(deployment, sight(last, failed, set_aside=aside)).halt


def test_the_deployment_that_set_a_host_aside_is_halted_by_it_all_the_same() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    aside = {first: ("sensors 1", "sensors 3")}
    assert place_of(deployment, sight(first, set_aside=aside)).wave == 0
    assert may(deployment, sight(last, said(first, RolloutState.FAILED), set_aside=aside)).halt


def test_when_most_hosts_are_set_aside_it_is_the_deployments_and_all_are_heard() -> None:
    deployment = staged(0.1, 1.0)
    (first,) = waves_of(deployment)[0]
    last = waves_of(deployment)[1][0]
    aside = dict.fromkeys([*(host for host in HOSTS if host != last)][:9], ("sensors 1",))
    assert may(deployment, sight(last, said(first, RolloutState.FAILED), set_aside=aside)).halt
