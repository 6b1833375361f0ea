"""From where ``edgehost fleet`` has its broker and its key."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edgehost.cli.fleet_settings import FleetAccess, fleet_access
from edgehost.cli.usage import UsageError

SETTINGS = """
broker = "broker.local"
fleet = "yard"
key = "ada.key"
tls = true
ca_file = "ca.crt"
"""


def access(monkeypatch: pytest.MonkeyPatch, file: Path, **said: object) -> FleetAccess:
    monkeypatch.setenv("EDGEHOST_FLEET", str(file))
    nothing = dict.fromkeys(("broker", "fleet", "key", "ca_file", "username", "password_file"), "")
    return fleet_access(argparse.Namespace(**{**nothing, "tls": False, "unsigned": False, **said}))


def test_a_key_of_the_same_name_where_the_command_is_given_is_not_taken_for_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, here = tmp_path / "own", tmp_path / "here"
    own.mkdir()
    here.mkdir()
    for folder in (own, here):
        (folder / "ada.key").write_text("a key")
    (own / "fleet.toml").write_text(SETTINGS)
    monkeypatch.chdir(here)
    found = access(monkeypatch, own / "fleet.toml")
    assert found.key_file == own / "ada.key"
    assert found.options.ca_file == own / "ca.crt"
    assert access(monkeypatch, own / "fleet.toml", key="ada.key").key_file == Path("ada.key")


def test_with_tls_the_port_is_that_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fleet.toml").write_text(SETTINGS)
    assert access(monkeypatch, tmp_path / "fleet.toml").options.tcp_port == 8883
    assert access(monkeypatch, tmp_path / "fleet.toml", broker="other:1884").options.tcp_port == 1884


def test_settings_that_are_missing_and_settings_that_say_too_little_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"--broker is missing, and .*fleet\.toml is not there to say it"):
        access(monkeypatch, tmp_path / "fleet.toml")
    (tmp_path / "fleet.toml").write_text('broker = "broker.local"\n')
    with pytest.raises(UsageError, match=r"--fleet is missing, and .*fleet\.toml does not say it either"):
        access(monkeypatch, tmp_path / "fleet.toml")
