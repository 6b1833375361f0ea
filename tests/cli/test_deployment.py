"""A deployment on the command line: checked, signed, shown, withdrawn, planned on a running host."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from tests.cli.test_publishing import TELEMETRY, edgehost, fleet
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.journeys.test_deployments import deploy, state
from tests.json_commands import Edgehost

__all__ = ("edgehost", "fleet")  # fixtures, found by their names

SITE = """
name = "site"
note = "What every gateway runs."
[components.telemetry]
version = "^1"
[components.telemetry.merge]
unit = "percent"
"""


def written(text: str = SITE) -> str:
    Path("site.toml").write_text(text)
    return "site.toml"


def test_a_deployment_is_checked_signed_shown_and_withdrawn(fleet: Edgehost) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    assert fleet("deployment", "check", written(), "--repository", "fleet")["components"] == 1
    for sequence in (1, 2):
        signed = fleet(
            "deployment", "publish", "fleet", "site.toml", "--key", "keys/online.key", "--to", "stick"
        )
        assert signed["sequence"] == sequence
        assert signed["mirrored"]["stick"]["published"] > 0
    shown = fleet("deployment", "show", "fleet", "site")
    assert shown["sequence"] == 2
    assert shown["components"]["telemetry"] == {"version": "^1", "merge": {"unit": "percent"}}
    listed = fleet("remote", "show", "fleet")["documents"]
    assert [(each["kind"], each["name"], each["sequence"]) for each in listed] == [
        ("deployment", "site", 1),
        ("deployment", "site", 2),
    ]
    fleet("deployment", "withdraw", "fleet", "site@2", "--key", "keys/online.key")
    assert fleet("deployment", "show", "fleet", "site")["sequence"] == 1
    assert "no deployment site@2" in fleet("deployment", "show", "fleet", "site@2", code=5)["message"]


@pytest.mark.parametrize(
    ("text", "complaint", "code"),
    [
        (SITE.replace("^1", "^7"), "components.telemetry.version is '^7'; fleet offers 1.0.0.", 5),
        (SITE.replace("components.telemetry", "components.telemetri"), "offers no component 'telemetri'", 5),
        (SITE.replace("note", "notes"), "notes is unknown", 1),
        (SITE + "[components.a]\nafter = ['b']\n[components.b]\nafter = ['a']", "in a circle", 1),
        (SITE + "[hosts]\nids = []", "hosts.ids is empty, so it is for no host.", 1),
        (SITE + "[[[", "is no TOML", 1),
    ],
)
def test_what_is_wrong_with_a_deployment_is_said_before_it_is_signed(
    fleet: Edgehost, text: str, complaint: str, code: int
) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    file = written(text)
    told = fleet("deployment", "publish", "fleet", file, "--key", "keys/online.key", code=code)
    assert complaint in told["message"]
    assert fleet("remote", "show", "fleet")["documents"] == []


def test_firmware_that_nobody_offers_is_named_before_it_is_signed(fleet: Edgehost) -> None:
    Path("blinker.bin").write_bytes(bytes(range(64)))
    words = ("--board", "uno", "--name", "blinker", "--version", "1.2.0", "--key", "keys/online.key")
    fleet("firmware", "publish", "fleet", "blinker.bin", *words)
    check = ("deployment", "check", "site.toml", "--repository", "fleet")
    for wanted, complaint in (
        ("blinker@^2", "firmware.lamp is '^2'; fleet offers 1.2.0."),
        ("blinkr@^1", "fleet offers no firmware or component 'blinkr'."),
    ):
        written(f'name = "site"\n[firmware]\nlamp = "{wanted}"\n')
        assert fleet(*check, code=5)["message"] == complaint
    written('name = "site"\n[firmware]\nlamp = "blinker@^1"\n')
    assert fleet(*check)["devices"] == 1


def test_what_is_not_on_offer_is_refused_with_what_the_command_takes(fleet: Edgehost) -> None:
    publish = ("deployment", "publish", "fleet", written(), "--key", "keys/online.key")
    for command, way in (
        (("deployment", "check", "site.toml", "--repository", "fleet"), "leave --repository out"),
        (publish, "say --elsewhere"),
    ):
        assert way in fleet(*command, code=5)["hint"]


def test_components_of_another_remote_are_named_as_such(fleet: Edgehost) -> None:
    signed = fleet("deployment", "publish", "fleet", written(), "--elsewhere", "--key", "keys/online.key")
    assert signed["sequence"] == 1


async def test_a_running_host_shows_what_it_would_do_and_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    (tmp_path / "site.toml").write_text(SITE)
    config = ("-c", str(tmp_path / "edgehost.toml"))

    async def said(*words: str) -> str:
        assert await asyncio.to_thread(main, [*config, "deployment", *words]) == 0
        return capsys.readouterr().out

    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        assert await said("ls") == "This host holds no deployment.\n"
        planned = await said("plan", str(tmp_path / "site.toml"))
        assert "site 1: 1 change." in planned
        assert "telemetry: configure unit: deployment site wants other values." in planned
        wanted: dict[str, Any] = {"name": "site", "components": {"telemetry": {"merge": {"unit": "percent"}}}}
        await deploy(fleet, wanted)
        await host.until(lambda: state(host) == "successful 1")
        listed = await said("ls")
        assert "site 1  successful since" in listed
        assert "telemetry  reached   1.0.0" in listed
        planned = await said("plan")
        assert "site 1: 0 changes." in planned
        assert "Remote fleet has no deployment that this host has not taken in, as of 20" in planned
        await deploy(fleet, {"name": "other", "unheard": True})  # as one of a later version may be
        await host.until(lambda: any(each.startswith("It is refused") for each in _news(host)))
        refused = await said("plan")
        assert "Remote fleet has other 1 as of 20" in refused
        assert "; this host has taken in none of it. It is refused: " in refused
        assert "deployments:" in await _status(config, capsys)


def _news(host: RunningHost) -> list[str]:
    views = host.host.control.deployment_views
    assert views is not None
    return [each["reason"] for row in views.offered() for each in row["deployments"] if each["reason"]]


async def _status(config: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> str:
    assert await asyncio.to_thread(main, [*config, "status"]) == 0
    return capsys.readouterr().out
