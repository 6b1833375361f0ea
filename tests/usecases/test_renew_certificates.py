"""Certificates are renewed in time, after long absence, and never at the price of what is in use."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from edgehost.adapters.certificates.pair_folder import PairDisk
from edgehost.domain.certificate_events import (
    CertificateRefused,
    CertificateRenewalFailed,
    CertificateRenewed,
)
from edgehost.domain.certificate_life import Standing
from edgehost.domain.errors import NotFoundError, RefusedError, UnavailableError
from edgehost.ports.certificate_authority import RequestPendingError
from edgehost.usecases.view_certificates import Certificates
from tests.adapters.certificates.openssl_ca import OpensslCA, same_key, verified
from tests.usecases.renewal_scene import DAY, LIFE, START, Scene


def key(scene: Scene) -> bytes:
    return (scene.folder / "gate.key").read_bytes()


async def test_a_certificate_is_renewed_at_two_thirds_of_its_life_and_connections_are_made_anew(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    before = key(scene)
    await scene.pass_days(59)
    assert (scene.authority.asked, scene.standing()) == ([], Standing.HOLDS)
    await scene.pass_days(6)
    assert len(scene.authority.asked) == 1
    # 91 days of life, two thirds and half of a twentieth
    assert scene.authority.asked_at[0] == pytest.approx(START + (91 * (2 / 3 + 0.025) - 1) * DAY, abs=DAY / 4)
    assert scene.authority.asked[0].current is not None
    assert key(scene) != before
    assert (scene.standing(), scene.anew) == (Standing.HOLDS, 1)
    assert verified(tmp_path / "gate.crt", scene.ca.cert_file, at=scene.now)
    assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")
    (told,) = scene.told(CertificateRenewed)
    assert (told.certificate, told.new_key) == ("broker", True)
    assert scene.finding()["state"] == "ok"
    await scene.pass_days(130)
    assert len(scene.authority.asked) == 3


async def test_a_certificate_can_keep_its_key(tmp_path: Path) -> None:
    scene = Scene(tmp_path, new_key=False)
    before = key(scene)
    await scene.turn(days=80)
    assert key(scene) == before
    assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")


async def test_after_400_days_off_the_host_asks_by_its_secret_and_goes_on(tmp_path: Path) -> None:
    """The clock is looked at first; then the expired certificate vouches for nothing."""
    scene = Scene(tmp_path)
    await scene.turn()
    old = scene.serial()
    scene.now, scene.is_set = 100.0, False  # no battery
    scene.started()
    await scene.pass_days(0.01, most_step_s=60)
    assert scene.authority.asked == []
    assert scene.standing() is Standing.WAITS_FOR_CLOCK
    assert "clock is not set" in scene.finding()["detail"]
    scene.now, scene.is_set = START + 400 * DAY, True
    await scene.turn()
    assert [each.current for each in scene.authority.asked] == [None]
    assert scene.serial() != old
    assert scene.standing() is Standing.HOLDS
    assert verified(tmp_path / "gate.crt", scene.ca.cert_file, at=scene.now)


async def test_without_a_secret_an_expired_certificate_is_a_plain_finding_and_nothing_else(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.authority.trouble = RefusedError("Nothing could vouch for this host.", hint="Set username.")
    scene.now += 400 * DAY
    before = (tmp_path / "gate.crt").read_bytes()
    await scene.pass_days(3)
    found = scene.finding()
    assert (found["check"], found["state"], found["hint"]) == (
        "certificate broker",
        "failed",
        "Set username.",
    )
    assert "ended on" in found["detail"]
    assert "keeps running" in found["detail"]
    assert (tmp_path / "gate.crt").read_bytes() == before
    assert len(scene.authority.asked) <= 18


async def test_a_clock_behind_what_signatures_vouch_for_asks_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.floor = START + 100 * DAY
    await scene.turn(days=80)
    assert (scene.authority.asked, scene.standing()) == ([], Standing.WAITS_FOR_CLOCK)
    with pytest.raises(UnavailableError, match="clock"):
        await scene.renewal.renew_now()
    scene.now = START - 10 * DAY  # before the certificate begins
    scene.floor = 0.0
    await scene.turn()
    assert scene.standing() is Standing.WAITS_FOR_CLOCK
    assert scene.authority.asked == []


async def test_a_clock_that_was_years_ahead_leaves_nothing_that_stops_renewals(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.authority.trouble = UnavailableError("TLS fails.")
    scene.now += 3000 * DAY
    await scene.pass_days(2)
    assert scene.authority.asked
    scene.now, scene.authority.trouble = START + 70 * DAY, None
    scene.authority.asked.clear()
    await scene.turn()
    assert len(scene.authority.asked) == 1
    assert scene.standing() is Standing.HOLDS


async def test_an_authority_that_is_away_is_asked_with_pauses_and_a_bounded_number_of_times_a_day(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, tries_a_day=4)
    scene.authority.trouble = UnavailableError("Nobody answers.")
    scene.now += 65 * DAY
    for _ in range(10):
        await scene.pass_days(0.5, most_step_s=60)
        scene.started()  # a host that starts all the time asks no more often
    times = scene.authority.asked_at
    assert 4 <= len(times) <= 4 * 5 + 1
    for each in times:
        assert sum(each - DAY < other <= each for other in times) <= 4
    assert times[1] - times[0] >= 400
    assert len(scene.told(CertificateRenewalFailed)) == len(times)
    await scene.turn()
    assert scene.finding()["state"] == "warning"
    await scene.pass_days(12, most_step_s=3600)
    assert scene.finding()["state"] == "failed"  # half of what was left is gone
    scene.authority.trouble = None
    await scene.pass_days(1.1)
    assert scene.finding()["state"] == "ok"


async def test_who_has_to_wait_sends_the_same_request_again_after_a_bounded_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for retry_s, least_s, most_s in ((1e9, DAY, DAY), (0, 60, 60), (7200, 7200, 7200)):
        scene.authority.trouble = RequestPendingError("Come again.", retry_after_s=retry_s)
        await scene.turn(days=70 if scene.now < START + 70 * DAY else 2)
        wait_s = scene.renewal.next_try_at(scene.now) - scene.now
        assert least_s <= wait_s <= most_s
        scene.started()  # the request outlives the host
    scene.authority.trouble = None
    await scene.turn(days=2)
    requests = [each.pem for each in scene.authority.asked]
    assert len(requests) == 4
    assert len(set(requests)) == 1
    assert scene.standing() is Standing.HOLDS
    assert not scene.told(CertificateRenewalFailed)
    assert same_key(tmp_path / "gate.crt", tmp_path / "gate.key")


@pytest.mark.parametrize(
    "what", ["another key", "another name", "to come", "expired", "a stranger's", "junk", "an authority"]
)
async def test_what_is_no_certificate_for_this_host_never_takes_its_place(what: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    stranger = OpensslCA(tmp_path / "stranger", "a stranger")
    workshop = scene.renewal.workshop
    other = workshop.request(workshop.new_key(None), like=None, common_name="gate")
    scene.authority.answer = {
        "another key": lambda _request: scene.ca.sign(other, now=scene.now),
        "another name": lambda request: scene.ca.sign(request, now=scene.now, subject="/CN=shed"),
        "to come": lambda request: scene.ca.sign(request, now=scene.now, begins=2),
        "expired": lambda request: scene.ca.sign(request, now=scene.now, begins=-9, days=-1),
        "a stranger's": lambda request: stranger.sign(request, now=scene.now),
        "junk": lambda _request: b"-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n",
        "an authority": lambda request: scene.ca.sign(request, now=scene.now, kind="between"),
    }[what]
    before = (tmp_path / "gate.crt").read_bytes(), key(scene)
    await scene.turn(days=70)
    assert len(scene.authority.asked) == 1
    assert ((tmp_path / "gate.crt").read_bytes(), key(scene)) == before
    assert (scene.broker.shown, scene.anew) == ([], 0)
    assert scene.finding()["state"] == "warning"
    scene.authority.answer = None
    await scene.turn(days=1.5)
    assert scene.standing() is Standing.HOLDS


async def test_an_authority_whose_own_certificates_lead_nowhere_gets_no_request(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.authority.handed = OpensslCA(tmp_path / "stranger", "a stranger").cert_file.read_bytes()
    await scene.turn(days=70)
    assert scene.authority.asked == []
    assert "a stranger" in scene.finding()["detail"]


async def test_what_the_broker_refuses_gives_way_to_the_last_good_one_and_an_alarm_tells(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    before = (tmp_path / "gate.crt").read_bytes(), key(scene)
    scene.broker.takes = lambda certificate: certificate == before[0]
    await scene.turn(days=70)
    assert ((tmp_path / "gate.crt").read_bytes(), key(scene)) == before
    assert (scene.anew, len(scene.told(CertificateRefused))) == (0, 1)
    found = scene.finding()
    assert found["state"] == "failed"
    assert "fleet refuses the new certificate" in found["detail"]
    await scene.pass_days(0.9)
    assert len(scene.authority.asked) == 1  # nobody asks for certificates by the hour that nobody takes
    scene.broker.takes = lambda _certificate: True
    await scene.pass_days(0.4)
    assert (scene.finding()["state"], scene.anew) == ("ok", 1)


async def test_a_new_certificate_that_nobody_could_be_shown_stays_on_trial_over_restarts(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    before = (tmp_path / "gate.crt").read_bytes()
    scene.broker.reachable = False
    assert await scene.turn(days=70) < 900
    assert "nobody could be shown" in scene.finding()["detail"]
    new = (tmp_path / "gate.crt").read_bytes()
    assert new != before
    scene.started()
    await scene.pass_days(0.2)
    assert len(scene.authority.asked) == 1
    scene.broker.reachable, scene.broker.takes = True, lambda certificate: certificate == before
    await scene.turn()
    assert (tmp_path / "gate.crt").read_bytes() == before
    assert len(scene.told(CertificateRefused)) == 1


async def test_a_first_certificate_of_all_is_asked_for_by_name(tmp_path: Path) -> None:
    scene = Scene(tmp_path, with_pair=False)
    await scene.turn()
    assert [each.current for each in scene.authority.asked] == [None]
    facts = scene.renewal.facts
    assert facts is not None
    assert (facts.subject, facts.key_kind) == ("CN=gate", "EC secp256r1")
    assert verified(tmp_path / "gate.crt", scene.ca.cert_file, at=scene.now)


async def test_what_somebody_puts_there_by_hand_is_taken_and_judged_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.turn(days=70)
    scene.ca.pair(tmp_path / "ca", "gate", days=10 * LIFE, now=scene.now)
    for name in ("gate.crt", "gate.key"):
        (tmp_path / "ca" / name).replace(tmp_path / name)
    anew = scene.anew
    await scene.pass_days(100)
    assert len(scene.authority.asked) == 1
    assert scene.anew == anew + 1
    assert scene.finding()["state"] == "ok"
    (tmp_path / "gate.key").write_bytes(b"")
    scene.authority.trouble = UnavailableError("Nobody answers.")
    await scene.turn()
    assert scene.standing() is Standing.UNUSABLE
    assert scene.finding()["state"] == "failed"


@pytest.mark.parametrize("first", ["gate.crt", "gate.key"])
async def test_half_of_a_pair_that_somebody_replaces_asks_nobody_and_the_whole_is_shown_to_all(
    first: str, tmp_path: Path
) -> None:
    scene = Scene(tmp_path)
    await scene.turn()
    before = scene.serial()
    scene.ca.pair(tmp_path / "ca", "gate", days=LIFE, now=scene.now)
    (tmp_path / "ca" / first).replace(tmp_path / first)
    assert await scene.turn() == 60
    assert (scene.standing(), scene.authority.asked) == (Standing.UNUSABLE, [])
    (second,) = {"gate.crt", "gate.key"} - {first}
    (tmp_path / "ca" / second).replace(tmp_path / second)
    await scene.turn()
    assert (scene.standing(), scene.authority.asked, scene.anew) == (Standing.HOLDS, [], 1)
    assert scene.serial() != before
    (tmp_path / "gate.crt").unlink()
    assert await scene.turn() == 60
    assert (scene.standing(), scene.authority.asked) == (Standing.MISSING, [])
    await scene.turn()  # it was no half: nobody brings another
    assert len(scene.authority.asked) == 1
    assert scene.standing() is Standing.HOLDS


async def test_a_disk_that_is_full_is_tried_with_pauses_and_asks_nobody(tmp_path: Path) -> None:
    class FullDisk(PairDisk):
        tries = 0

        def write(self, path: Path, content: bytes, mode: int) -> None:
            self.tries += path.name.startswith(".renewal")
            raise OSError(errno.ENOSPC, "no space left", str(path))

    scene = Scene(tmp_path)
    disk = scene.disk = FullDisk()
    scene.started()
    before = (tmp_path / "gate.crt").read_bytes(), key(scene)
    scene.now += 70 * DAY
    await scene.pass_days(0.02, most_step_s=5)
    assert scene.authority.asked == []
    assert 0 < disk.tries <= 6  # a try and its end each, and not every five seconds
    assert scene.finding()["state"] == "warning"
    assert ((tmp_path / "gate.crt").read_bytes(), key(scene)) == before
    scene.disk = None
    scene.started()
    await scene.turn()
    assert scene.standing() is Standing.HOLDS
    assert len(scene.authority.asked) == 1


async def test_an_operator_renews_at_once_or_looks_without_having_anything_signed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    certificates = Certificates({"broker": scene.renewal})
    shown = await certificates.renew("broker", dry_run=True)
    assert (shown["would"], scene.authority.asked) == ("it would be asked", [])
    before = shown["fingerprint"]
    assert (await certificates.renew("broker"))["fingerprint"] != before
    scene.authority.trouble = UnavailableError("Nobody answers.")
    with pytest.raises(UnavailableError):
        await certificates.renew("broker")
    with pytest.raises(NotFoundError, match="brocker"):
        await certificates.renew("brocker")
    shown = (await certificates.twin())["broker"]
    assert (shown["standing"], shown["subject"], shown["reason"]) == ("holds", "CN=gate", "Nobody answers.")


async def test_the_loop_wakes_by_itself_when_an_operator_has_renewed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, users=False)
    task = asyncio.create_task(scene.renewal.run(), name="renewal")
    try:
        await scene.renewal.renew_now()
        while scene.renewal.wake.is_set():
            await asyncio.sleep(0)
    finally:
        task.cancel()
    assert scene.anew == 1
