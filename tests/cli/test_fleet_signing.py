"""``edgehost fleet sign``: the command that it prints reaches the operator's broker."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edgehost.cli import fleet
from edgehost.cli.fleet_work import selection_of
from edgehost.cli.main import main
from edgehost.cli.usage import UsageError
from remotes.keys import generate_key


def test_what_is_printed_names_the_broker_as_the_operator_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate_key(tmp_path / "ada.key")
    (tmp_path / "a ca.crt").write_text("")
    (tmp_path / "password").write_text("never shown")
    settings = tmp_path / "fleet.toml"
    monkeypatch.setenv("EDGEHOST_FLEET", str(settings))
    monkeypatch.chdir(tmp_path)
    words = ["fleet", "sign", "restart", "--host", "gate", "--id", "r1", "-o", "r 1.json"]

    settings.write_text('broker = "broker.local"\nfleet = "yard"\nkey = "ada.key"\n')
    assert main(words) == 0
    topic = "edgehost/yard/gate/cmd/restart/r1"
    assert f"mosquitto_pub -h broker.local -q 1 -r -t {topic} -f 'r 1.json'\n" in capsys.readouterr().out

    more = 'tls = true\nca_file = "a ca.crt"\nusername = "ada"\npassword_file = "password"\n'
    settings.write_text(f'broker = "broker.local:8884"\nfleet = "yard"\nkey = "ada.key"\n{more}')
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"-h broker.local -p 8884 --cafile '{tmp_path}/a ca.crt' -u ada -P " in said
    assert f"\"$(cat {tmp_path}/password)\" -q 1 -r -t {topic} -f 'r 1.json'" in said
    assert "never shown" not in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--id", "a/b"), "'a/b' is not a command's id: up to 64 letters"),
        (("--id", "+"), "'+' is not a command's id"),
        (("--host", "gate/cmd"), "'gate/cmd' is no host's name: it is not a DNS label"),
        (("--arguments", "[]"), "'[]' is no JSON object"),
        (("--valid", "36d"), "'36d' is no time such as"),
    ],
)
def test_what_no_host_would_take_is_not_signed(
    words: tuple[str, ...],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    generate_key(tmp_path / "ada.key")
    settings = tmp_path / "fleet.toml"
    settings.write_text('broker = "broker.local"\nfleet = "yard"\nkey = "ada.key"\n')
    monkeypatch.setenv("EDGEHOST_FLEET", str(settings))
    monkeypatch.chdir(tmp_path)
    assert main(["fleet", "sign", "restart", "-o", "restart.json", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "restart.json").exists()


@pytest.mark.parametrize("less", [("--host", "gate"), ("--label", "site=north"), ("--class", "pi4")])
def test_all_hosts_and_fewer_of_them_are_not_said_at_once(less: tuple[str, str]) -> None:
    parser = argparse.ArgumentParser()
    fleet.add_arguments(parser)
    args = parser.parse_args(["restart", "telemetry", "--all", *less])
    with pytest.raises(UsageError, match="--all stands beside"):
        selection_of(args)
