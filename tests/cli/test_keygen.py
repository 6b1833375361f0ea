"""What ``edgehost keygen`` prints is what configurations take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgehost.cli.main import main
from edgehost.config import parse_config

CONFIG = """
[fleet]
name = "yard"
host = "broker.local"
commands = "signed"
[[fleet.operators]]
key = "{key}"
may = ["logs"]
"""


def test_the_public_key_that_is_printed_names_an_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keygen", str(tmp_path / "ada"), "--no-passphrase", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["public_key"] != made["key_id"]
    pub = json.loads((tmp_path / "ada.pub").read_text())
    assert (made["public_key"], made["key_id"]) == (pub["keyval"]["public"], pub["keyid"])
    config = parse_config(CONFIG.format(key=made["public_key"]).encode(), tmp_path / "edgehost.toml")
    assert config.fleet.operators[0].public.hex() == made["public_key"]


def test_folders_that_were_not_there_are_made_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outer, inner = tmp_path / "ops", tmp_path / "ops" / "keys"
    assert main(["keygen", str(inner / "ada"), "--no-passphrase"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"Made the folder {outer}.", f"Made the folder {inner}."]
    assert main(["keygen", str(inner / "bob"), "--no-passphrase"]) == 0
    assert "Made" not in capsys.readouterr().out
