"""A host whose clock is never right: what signed dates prove is enough to renew, and no more is claimed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.cli.file_checks import check_certificates
from edgehost.cli.finding import State
from edgehost.composition.certificates import HostTime, certificates_on_disk, make_certificates
from edgehost.config import Config, read_config
from edgehost.domain.certificate_life import Standing, day
from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.usecases.view_certificates import Certificates
from remotes.clock_floor import EARLIEST, ClockFloor, write_floor
from tests.adapters.certificates.openssl_ca import OpensslCA, same_key, verified
from tests.usecases.renewal_scene import DAY, START, Scene

FAR = 4_000_000_000.0  # no machine of today stands there
CONFIG = """
[host]
data = "data"
trust_clock = {trusts}

[[remotes]]
name = "yard"
root = "root.json"
transport = "mqtt"
host = "broker"
tls = true
cert_file = "gate.crt"
key_file = "gate.key"

[[certificates]]
name = "broker"
cert_file = "gate.crt"
key_file = "gate.key"
url = "https://est.example"
"""


def scene_by_signed_dates(folder: Path, **plan: object) -> Scene:
    scene = Scene(folder, **plan)  # type: ignore[arg-type]  # as the scene takes them
    scene.is_least, scene.floor = True, START
    return scene


async def test_what_is_due_by_signed_dates_is_renewed_whatever_the_clock_says(tmp_path: Path) -> None:
    scene = scene_by_signed_dates(tmp_path)
    await scene.turn(days=20)
    assert (scene.standing(), scene.authority.asked) == (Standing.HOLDS, [])
    found = scene.finding()
    assert (found["state"], "by signed dates, of which the newest is 2030-03-17" in found["detail"]) == (
        "ok",
        True,
    )
    # Twenty days have passed since the newest signed date: the certificate that comes begins in the future.
    truth = scene.now + 80 * DAY
    scene.authority.answer = lambda request: scene.ca.sign(request, now=truth)
    await scene.turn(days=50)
    (asked,) = scene.authority.asked
    assert (asked.current is not None, asked.may_have_ended) == (True, True)
    assert (scene.standing(), scene.anew) == (Standing.HOLDS, 1)
    assert verified(tmp_path / "gate.crt", scene.ca.cert_file, at=truth)
    assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")


async def test_what_has_ended_by_signed_dates_has_ended(tmp_path: Path) -> None:
    scene = scene_by_signed_dates(tmp_path)
    scene.authority.answer = lambda request: scene.ca.sign(request, now=START, begins=-9, days=20)
    await scene.turn(days=100)
    assert [each.current for each in scene.authority.asked] == [None]
    assert (scene.standing(), scene.finding()["state"]) == (Standing.EXPIRED, "failed")
    assert "by signed dates it is 2030-06-25 at least" in scene.finding()["detail"]
    scene.authority.answer = None
    await scene.turn(days=1)
    assert scene.standing() is Standing.HOLDS


async def test_a_host_that_accepted_nothing_signed_says_so_and_an_operator_may_renew(tmp_path: Path) -> None:
    scene = scene_by_signed_dates(tmp_path)
    scene.floor, scene.now = (
        0.0,
        START - 300 * DAY,
    )  # before the certificate begins: no doubt, it is the least
    await scene.turn()
    assert scene.standing() is Standing.HOLDS
    found = scene.finding()
    assert (found["state"], "nothing signed was accepted yet" in found["detail"]) == ("warning", True)
    assert "certificates renew broker" in found["hint"]
    scene.authority.answer = lambda request: scene.ca.sign(request, now=START + 10 * DAY)
    shown = await Certificates({"broker": scene.renewal}).renew("broker")
    assert shown["renewed_at"] == scene.now > 0


async def test_time_that_begins_anew_with_each_start_stops_no_renewal_and_hurries_none(
    tmp_path: Path,
) -> None:
    scene = scene_by_signed_dates(tmp_path, tries_a_day=4)
    scene.authority.trouble = UnavailableError("Nobody answers.")
    scene.now = scene.floor = START + 65 * DAY
    starts, on_for = 48, 1 / 24
    asked = []
    for _ in range(starts):
        scene.now = scene.floor  # no newer date is signed, and each start begins there
        scene.started()
        await scene.pass_days(on_for, most_step_s=60)
        asked.append(len(scene.authority.asked))
    assert asked[-1] <= 4 * (starts * on_for + 1)  # as of a host that is on all the time
    assert asked[starts // 2] < asked[-1]  # and it has not given up: pauses go on where they ended
    assert scene.finding()["state"] == "warning"


@dataclass
class Clock:
    """A board without a battery."""

    machine: float = 100.0
    up: float = 5.0

    def now(self) -> float:
        return self.machine

    def monotonic(self) -> float:
        return self.up


def config(folder: Path, *, trusts: bool) -> Config:
    return read_config(tomllib.loads(CONFIG.format(trusts=str(trusts).lower())), folder=folder)


def sign_at(folder: Path, seconds: float) -> None:
    trusted = folder / "data" / "remotes" / "yard" / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    write_floor(trusted, ClockFloor(int(seconds), ("key",)))


def test_signed_time_runs_on_from_the_newest_date_and_the_machines_clock_counts_for_nothing(
    tmp_path: Path,
) -> None:
    clock = Clock()
    time = HostTime(config(tmp_path, trusts=False), clock)
    moment = time.moment()
    assert (moment.now, moment.floor, moment.is_set, moment.is_least) == (
        EARLIEST.timestamp(),
        0,
        True,
        True,
    )
    sign_at(tmp_path, START)
    clock.up += 60
    assert time.now() == EARLIEST.timestamp() + 60
    assert (time.moment().now, time.moment().floor) == (START, START)
    clock.up, clock.machine = clock.up + 3600, 9e9
    assert time.moment().now == time.now() == START + 3600
    sign_at(tmp_path, START + 60)  # older than what has passed since
    assert time.moment().now == START + 3600
    assert not HostTime(config(tmp_path, trusts=True), clock).moment().is_least


async def test_without_a_running_host_the_same_is_said_and_by_doctor_too(tmp_path: Path) -> None:
    OpensslCA(tmp_path / "ca").pair(tmp_path, "gate", days=90, now=FAR)
    by_signed, by_clock = (config(tmp_path, trusts=trusts) for trusts in (False, True))
    for signed, standing, state, words in (
        (FAR, "holds", State.GOOD, "the host renews it"),
        (FAR + 70 * DAY, "due", State.GOOD, "the host renews it"),
        (FAR + 400 * DAY, "expired", State.WRONG, f"signed dates are from {day(FAR + 400 * DAY)}"),
    ):
        sign_at(tmp_path, signed)
        (shown,) = await certificates_on_disk(by_signed)
        assert shown["standing"] == standing
        found = next(each for each in check_certificates(by_signed) if each.subject.endswith(".cert_file"))
        assert (found.state, words in found.what) == (state, True)
    # The real clock, of a host that trusts it, stands before that.
    (shown,) = await certificates_on_disk(by_clock)
    assert shown["standing"] == "waits for the clock"
    assert {each.state for each in check_certificates(by_clock)} == {State.WRONG}


async def test_the_certificates_of_such_a_host_are_judged_by_its_time(tmp_path: Path) -> None:
    OpensslCA(tmp_path / "ca").pair(tmp_path, "gate", days=90, now=START)
    sign_at(tmp_path, START + 100 * DAY)
    made = make_certificates(config(tmp_path, trusts=False), LocalEventBus(), Clock())
    try:
        renewal = made.by_name["broker"]
        await renewal.look()
        assert renewal.standing is Standing.EXPIRED
        with pytest.raises(RefusedError, match="nothing else that could vouch"):
            await renewal.authority.look(None)
    finally:
        made.close()
