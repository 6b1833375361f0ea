"""What is said of the deployments that remotes have: as of the last look, and why what is there is not taken in."""

from __future__ import annotations

from typing import Any

from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.offered_deployments import offered_deployments
from tests.usecases.desired_scene import Desired, World, world_of_two

HEALTH = RemoteHealth("test", "ok", checked_at=5.0)


def offered(host: Desired, health: RemoteHealth = HEALTH) -> list[tuple[str, int, int, str]]:
    (row,) = offered_deployments(host.intake, [host.world], [health])
    return [
        (each["deployment"], each["sequence"], each["taken_in"], each["reason"])
        for each in row["deployments"]
    ]


def deployed(world: World, sequence: int, **more: Any) -> None:
    world.deploy(sequence, components={"pump": {"version": "^1"}}, **more)


async def test_what_was_seen_and_is_not_taken_in_is_told_with_its_reason() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        assert offered(host) == []
        deployed(world, 3)
        await host.settle()
        assert offered(host) == [("site", 3, 3, "")]
        deployed(world, 4)
        assert offered(host) == [("site", 4, 3, "It is being taken in.")]
        world.away.add("deployment")
        await host.settle()
        assert offered(host) == [("site", 4, 3, "deployment cannot be had now.")]
        world.away.clear()
        await host.settle()
        assert offered(host) == [("site", 4, 4, "")]


async def test_what_is_for_others_or_refused_is_told_as_such() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        deployed(world, 1, hosts={"ids": ["another"]})
        deployed(world, 1, name="yard")
        world.files[world.documents_[-1].digest] = b"[]"
        await host.settle()
        site, yard = offered(host)
        assert site == ("site", 1, 0, "It is not for this host.")
        assert yard[:3] == ("yard", 1, 0)
        assert yard[3].startswith("It is refused: ")


async def test_a_remote_that_nobody_follows_yet_is_told_with_its_state() -> None:
    host = Desired(World())
    async with host.on():
        (row,) = offered_deployments(host.intake, [], [RemoteHealth("far", "unreachable", "No answer.")])
        assert row == {
            "remote": "far",
            "state": "unreachable",
            "reason": "No answer.",
            "checked_at": 0.0,
            "deployments": [],
        }
