"""A host that follows a web server: a release goes live, its successor follows, and an outage changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.cli.finding import State
from edgehost.cli.main import main
from edgehost.cli.network_checks import check_remotes
from edgehost.config import Config, load_config
from tests.journeys.fleet import Fleet
from tests.remotes.forge_server import open_forge
from tests.remotes.web_server import open_nginx

CONFIG = """
[host]
name = "journey"
data = "data"
[api]
tcp_port = 0
[[remotes]]
name = "fleet"
root = "root.json"
poll_s = 1
"""


def config(fleet: Fleet, carrier: str) -> Config:
    file = fleet.folder / "edgehost.toml"
    file.write_text(CONFIG + carrier)
    return load_config(file)


async def test_a_release_on_a_web_server_goes_live_and_its_successor_follows(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    first = demo_component("sensors-1.0.0")
    await fleet.publish(first)
    async with open_nginx(tmp_path / "mirror") as server:
        settings = config(fleet, f'transport = "http"\nurl = "{server.url}"\nlook_s = 1\n')
        async with fleet.host(settings) as host:
            await host.live("sensors", "1.0.0")
            await fleet.publish(as_version(first, "1.0.1"))
            await host.live("sensors", "1.0.1")
            fetched = [line.split()[1] for line in server.requests() if "/chunk/" in line]
            assert len(fetched) == len(set(fetched))  # nothing twice


async def test_a_mirror_on_a_web_server_becomes_a_bundle(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(demo_component("sensors-1.0.0"))
    file, root = tmp_path / "site.edgehost-bundle", tmp_path / "root.json"
    async with open_nginx(tmp_path / "mirror") as server:
        assert await asyncio.to_thread(main, ["bundle", "create", server.url, str(file)]) == 0
        assert await asyncio.to_thread(main, ["bundle", "create", f"{server.url}/not", str(file)]) == 5
    assert await asyncio.to_thread(main, ["bundle", "show", str(file), "--root", str(root)]) == 0


async def test_a_release_on_a_forge_goes_live(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(demo_component("sensors-1.0.0"))
    async with open_forge(tmp_path / "mirror", "gitea") as forge:
        carrier = f'transport = "tree"\nowner = "team"\nrepo = "things"\nfolder = "dist"\nforge = "gitea"\napi = "{forge.server.url}"\n'
        async with fleet.host(config(fleet, carrier)) as host:
            await host.live("sensors", "1.0.0")


def test_the_doctor_says_what_is_wrong_with_a_remote_on_the_web_or_on_sticks(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    (tmp_path / "media").mkdir()
    (tmp_path / "media/a.edgehost-bundle").write_bytes(b"nonsense" * 100)
    cases = {
        'transport = "http"\nurl = "http://127.0.0.1:9/x"\n': (State.WRONG, "does not answer"),
        'transport = "stick"\npath = "nowhere"\n': (State.NOTE, "there is no folder"),
        'transport = "stick"\npath = "media"\n': (State.NOTE, "is no bundle"),
        'transport = "stick"\npath = "repository"\n': (State.GOOD, "looks for bundles"),
    }
    for carrier, (state, words) in cases.items():
        found = list(check_remotes(config(fleet, carrier)))
        assert any(each.state is state and words in each.what for each in found), (carrier, found)
