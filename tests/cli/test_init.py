"""What ``edgehost init`` writes cannot drift from what the host reads."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.cli.config_template import config_template
from edgehost.cli.main import main
from edgehost.config import Config, load_config, read_config
from edgehost.config_settings import settings_of
from edgehost.config_tables import TRANSPORTS, ComponentSettings, FolderCarrier, MqttCarrier, RemoteSettings


def test_the_written_file_means_the_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert "edgehost run" in capsys.readouterr().out
    path = tmp_path / "edgehost.toml"
    assert load_config(path) == replace(Config.default(tmp_path), path=path)


def test_the_examples_in_it_are_valid_once_the_number_signs_are_gone() -> None:
    text = re.sub(r"^#(?=[a-z\[])", "", config_template(), flags=re.MULTILINE)
    folder = Path("/etc/edgehost")
    config = read_config(tomllib.loads(text), folder=folder)
    mqtt, stick, *others = config.remotes
    assert mqtt == RemoteSettings(
        name=mqtt.name, root=folder / "root.json", carrier=MqttCarrier(host="broker.local")
    )
    assert isinstance(stick.carrier, FolderCarrier)
    assert [type(each.carrier) for each in others] == list(TRANSPORTS.values())[2:]
    assert config.components["telemetry"] == ComponentSettings()


def test_every_key_has_its_reason_in_it() -> None:
    text = config_template()
    for settings in (RemoteSettings, ComponentSettings, *TRANSPORTS.values()):
        for each, setting in settings_of(settings):
            assert f"#{each.name} = " in text
            assert setting.why.split(";")[0][:60] in text


def test_an_existing_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edgehost.toml"
    path.write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert path.read_text() == "mine"
    assert "is left as it is" in capsys.readouterr().err


def test_json_names_the_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "new"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["config_file"] == str(tmp_path / "new" / "edgehost.toml")
