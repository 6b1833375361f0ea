"""A publisher whom the broker does not let in is told what was most likely left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.cli.mirror_targets import _access_hint, _command, read_target

REFUSED = "could not fetch metadata/timestamp.json within 10 s ([SSL: CERTIFICATE_VERIFY_FAILED] ...)"


def test_what_was_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEHOST_MQTT_PASSWORD", raising=False)
    target = read_target("mqtts://ada@broker.local/fleet")
    assert "--ca-file" in _access_hint(target, REFUSED)
    assert "$EDGEHOST_MQTT_PASSWORD is not set." in _access_hint(target, "Not authorized")
    monkeypatch.setenv("EDGEHOST_MQTT_PASSWORD", "secret")
    assert _access_hint(read_target("mqtts://ada@broker.local/fleet"), "Not authorized") == ""
    assert _access_hint(read_target("mirror"), "Not authorized") == ""


def test_the_certificate_is_not_blamed_where_its_signer_was_named(tmp_path: Path) -> None:
    target = read_target("mqtts://broker.local/fleet", ca_file=tmp_path / "ca.crt")
    assert _access_hint(target, REFUSED) == ""


def test_what_is_to_be_given_again_is_the_whole_command(tmp_path: Path) -> None:
    target = read_target("mqtts://ada@broker.local/fleet", ca_file=tmp_path / "a ca.crt")
    again = _command(tmp_path, target)
    assert again == (
        f"edgehost remote mirror {tmp_path} --to mqtts://ada@broker.local/fleet --ca-file '{tmp_path}/a ca.crt'"
    )
    assert _command(tmp_path, read_target("mirror")) == f"edgehost remote mirror {tmp_path} --to mirror"
