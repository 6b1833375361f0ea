"""A host with several places for one repository, and several repositories with an order among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgehost.config import load_config
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.transfer_events import ReleaseFetched
from tests.journeys.fleet import Fleet, telemetry

MIRRORED = """
[host]
name = "journey"
data = "data"
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
transport = "folder"
path = "lost"
root = "root.json"
parallel = 2
[[remotes.mirrors]]
transport = "folder"
path = "mirror"
near = true
[[remotes.mirrors]]
transport = "folder"
path = "liar"
near = true
"""


async def test_a_host_is_served_by_mirrors_while_its_remote_is_gone_and_one_of_them_lies(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    shutil.copytree(tmp_path / "mirror", tmp_path / "liar")
    for chunk in (tmp_path / "liar" / "chunk").iterdir():
        chunk.write_bytes(b"something else")
    (tmp_path / "edgehost.toml").write_text(MIRRORED)
    async with fleet.host(load_config(tmp_path / "edgehost.toml")) as host:
        await host.live("telemetry", "1.0.0")
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, ReleaseFetched), backlog=10) as fetched:
            await fleet.publish(telemetry("1.1.0"))
            await host.live("telemetry", "1.1.0")
            event = await anext(fetched)
        assert isinstance(event, ReleaseFetched)
        assert event.from_delta
        assert event.received_bytes < event.size_bytes / 5


def test_a_stick_mirrors_nothing(tmp_path: Path) -> None:
    (tmp_path / "edgehost.toml").write_text(
        MIRRORED.replace('transport = "folder"\npath = "liar"', 'transport = "stick"')
    )
    with pytest.raises(InvalidConfigError, match="stick"):
        load_config(tmp_path / "edgehost.toml")
