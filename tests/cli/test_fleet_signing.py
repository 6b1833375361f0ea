"""``edgehost fleet sign``: the command that it prints reaches the operator's broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.cli.main import main
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
