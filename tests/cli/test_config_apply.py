"""A configuration that cannot be applied is complained of by its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.cli.main import main


def test_a_refused_file_is_named_and_not_the_hosts_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edgehost.toml").write_text("")
    bad = tmp_path / "new.toml"
    bad.write_text('[host]\nlog_levl = "debug"\n')
    assert main(["config", "-c", str(tmp_path), "apply", str(bad)]) == 1
    said = capsys.readouterr().err
    assert f"{bad}: host.log_levl is unknown." in said
    assert "edgehost.toml" not in said
