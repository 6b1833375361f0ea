from __future__ import annotations

import pytest

from edgehost.domain.errors import (
    EndpointTakenError,
    GuestTrapError,
    InvalidComponentError,
    QuarantinedReleaseError,
    UnavailableError,
)
from edgehost.domain.release_life import Stage
from edgehost.usecases.roll_back_release import roll_back
from tests.usecases.deploy_scene import Scene, component_bytes, raising


async def test_a_probed_release_takes_over_and_the_one_before_drains() -> None:
    scene = Scene()
    one = await scene.shelve("orders", "1.0.0")
    two = await scene.shelve("orders", "1.1.0", sequence=2)
    first = await scene.deployer.deploy(one)
    await scene.deployer.deploy(two)
    assert await scene.running.call("orders", "any", b"") == b"1.1.0"
    assert scene.stage_of(two) is Stage.LIVE
    assert scene.stage_of(one) is Stage.DRAINING
    assert scene.drained == [first]


async def test_a_release_that_still_drains_can_come_back_at_once() -> None:
    scene = Scene()
    one = await scene.shelve("telemetry", "1.0.0")
    two = await scene.shelve("telemetry", "1.1.0", sequence=2)
    for release in (one, two, one):
        known = scene.ledger.by_digest(release.digest)
        assert known is not None
        await scene.deployer.deploy(known)
    assert (scene.stage_of(one), scene.stage_of(two)) == (Stage.LIVE, Stage.DRAINING)


async def test_a_release_that_fails_its_probe_is_quarantined_and_the_running_one_stays() -> None:
    scene = Scene()
    one = await scene.shelve("orders", "1.0.0")
    await scene.deployer.deploy(one)
    bad = await scene.shelve("orders", "1.1.0", sequence=2, probe={"export": "probe"})
    scene.answers["1.1.0"] = raising(GuestTrapError("unreachable"))
    with pytest.raises(GuestTrapError):
        await scene.deployer.deploy(bad)
    assert scene.stage_of(bad) is Stage.QUARANTINED
    assert scene.stage_of(one) is Stage.LIVE
    assert scene.pools["1.1.0"].closed
    assert await scene.running.call("orders", "any", b"") == b"1.0.0"
    with pytest.raises(QuarantinedReleaseError):
        await scene.deployer.deploy(scene.ledger.named("orders", "1.1.0"))


async def test_a_specification_that_lies_about_its_exports_is_refused() -> None:
    scene = Scene()
    bad = await scene.shelve("orders", "1.0.0", probe={"export": "probe"})
    scene.exports["1.0.0"] = ("other",)
    with pytest.raises(InvalidComponentError, match="probe"):
        await scene.deployer.deploy(bad)
    assert scene.running.get("orders") is None
    assert scene.stage_of(bad) is Stage.QUARANTINED


async def test_a_file_that_calls_itself_otherwise_than_it_was_published_is_rejected() -> None:
    scene = Scene()
    content = component_bytes("orders", "1.0.0")
    release = await scene.shelve_file("orders", "2.0.0", content)
    with pytest.raises(InvalidComponentError, match=r"orders 1\.0\.0"):
        await scene.deployer.deploy(release)
    assert scene.stage_of(release) is Stage.REJECTED


async def test_two_components_cannot_claim_one_endpoint_and_the_second_waits_on_the_shelf() -> None:
    scene = Scene()
    await scene.deployer.deploy(await scene.shelve("orders", "1.0.0", endpoint="orders"))
    second = await scene.shelve("sales", "1.0.0", endpoint="orders")
    with pytest.raises(EndpointTakenError):
        await scene.deployer.deploy(second)
    assert scene.stage_of(second) is Stage.SHELVED
    assert scene.routes.served == {"orders": "orders"}


async def test_a_machine_that_cannot_start_a_process_now_does_not_condemn_the_release() -> None:
    scene = Scene()
    release = await scene.shelve("orders", "1.0.0")
    scene.start_errors["1.0.0"] = UnavailableError("No process can be started.")
    with pytest.raises(UnavailableError):
        await scene.deployer.deploy(release)
    assert scene.stage_of(release) is Stage.SHELVED
    scene.start_errors.clear()
    await scene.deployer.deploy(scene.ledger.named("orders", "1.0.0"))
    assert scene.stage_of(release) is Stage.LIVE


async def test_a_rollback_restores_the_last_good_release_and_quarantines_the_bad_one() -> None:
    scene = Scene()
    one = await scene.shelve("orders", "1.0.0")
    two = await scene.shelve("orders", "1.1.0", sequence=2)
    await scene.deployer.deploy(one)
    await scene.deployer.deploy(two)
    await scene.ledger.move(scene.ledger.named("orders", "1.0.0"), Stage.RETIRED)
    restored = await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    assert restored is not None
    assert restored.version == "1.0.0"
    assert scene.stage_of(two) is Stage.QUARANTINED
    assert await scene.running.call("orders", "any", b"") == b"1.0.0"


async def test_a_rollback_passes_over_a_good_release_that_no_longer_starts() -> None:
    scene = Scene()
    for sequence, version in enumerate(("1.0.0", "1.1.0", "1.2.0"), start=1):
        await scene.deployer.deploy(await scene.shelve("orders", version, sequence=sequence))
        scene.clock.pass_by(10)
    scene.start_errors["1.1.0"] = InvalidComponentError("It cannot be loaded.")
    restored = await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.")
    assert restored is not None
    assert restored.version == "1.0.0"


async def test_without_a_good_release_a_rollback_takes_the_component_out_of_service() -> None:
    scene = Scene()
    only = await scene.shelve("orders", "1.0.0")
    await scene.deployer.deploy(only)
    assert await roll_back(scene.deployer, scene.bus, "orders", reason="It misbehaved.") is None
    assert scene.running.get("orders") is None
    assert scene.routes.served == {}
    assert scene.stage_of(only) is Stage.QUARANTINED


async def test_after_a_restart_nothing_is_half_way() -> None:
    scene = Scene()
    one = await scene.shelve("orders", "1.0.0")
    two = await scene.shelve("orders", "1.1.0", sequence=2)
    three = await scene.shelve("orders", "1.2.0", sequence=3)
    await scene.deployer.deploy(one)
    await scene.deployer.deploy(two)
    await scene.ledger.move(three, Stage.STAGED)
    again = Scene()
    again.shelf = scene.shelf
    again.ledger = type(scene.ledger)(scene.shelf, again.bus, again.clock)
    await again.ledger.load()
    assert {release.version: release.stage for release in again.ledger.all()} == {
        "1.0.0": Stage.RETIRED,
        "1.1.0": Stage.LIVE,
        "1.2.0": Stage.SHELVED,
    }
