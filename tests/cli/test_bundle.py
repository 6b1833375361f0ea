"""``edgehost bundle`` without a running host: what it makes, shows, refuses and leaves for later."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.json_commands import Edgehost, json_commands

TELEMETRY = Path(__file__).parents[2] / "examples" / "telemetry" / "telemetry-1.0.0.wasm"
STICK = '[[remotes]]\nname = "{}"\ntransport = "stick"\npath = "media"\nroot = "root.json"\n'


@pytest.fixture
def edgehost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgehost:
    """Runs commands beside a repository with one release."""
    monkeypatch.chdir(tmp_path)

    run = json_commands(capsys)
    for name in ("root", "online"):
        run("keygen", f"keys/{name}", "--no-passphrase")
    run("remote", "init", "fleet", "--root-key", "keys/root.key", "--online-key", "keys/online.key")
    run("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    shutil.copy("fleet/metadata/1.root.json", "root.json")
    return run


def test_a_bundle_for_an_offline_site_holds_for_as_long_as_it_was_asked(edgehost: Edgehost) -> None:
    made = edgehost(
        "bundle", "create", "fleet", "site.edgehost-bundle", "--key", "keys/online.key", "--valid-days", "200"
    )
    until = datetime.fromisoformat(made["valid_until"])
    assert timedelta(days=199) < until - datetime.now(until.tzinfo) < timedelta(days=201)
    shown = edgehost("bundle", "show", "site.edgehost-bundle", "--root", "root.json")
    assert (shown["holds"], shown["version"]) == (True, made["version"])
    own = edgehost("remote", "show", "fleet")["roles"]["timestamp"]
    assert own["version"] == made["version"] + 1
    assert own["days_left"] < 31


def test_a_bundle_is_also_made_of_a_mirror(edgehost: Edgehost) -> None:
    edgehost("remote", "mirror", "fleet", "--to", "mirror")
    edgehost("bundle", "create", "fleet", "a.edgehost-bundle")
    edgehost("bundle", "create", "mirror", "b.edgehost-bundle")
    assert Path("a.edgehost-bundle").read_bytes() == Path("b.edgehost-bundle").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fleet", "a.tar"), 2, "end in .edgehost-bundle"),
        (("fleet", "a.edgehost-bundle", "--key", "keys/online.key"), 2, "without --valid-days"),
        (("fleet", "a.edgehost-bundle", "--valid-days", "9"), 2, "needs --key"),
        (
            ("fleet", "a.edgehost-bundle", "--valid-days", "9999", "--key", "keys/online.key"),
            1,
            "1 to 3650 are possible",
        ),
        (("nowhere", "a.edgehost-bundle"), 5, "no folder"),
        (("keys", "a.edgehost-bundle"), 5, "Nothing is published there"),
        (("fleet", "a.edgehost-bundle", "--component", "telemetri"), 5, "not on offer"),
    ],
)
def test_what_makes_no_bundle_says_why(
    edgehost: Edgehost, words: tuple[str, ...], code: int, message: str
) -> None:
    assert message in edgehost("bundle", "create", *words, code=code)["message"]
    assert not Path("a.edgehost-bundle").exists()


def test_a_bundle_that_does_not_hold_is_shown_and_fails(edgehost: Edgehost) -> None:
    edgehost("bundle", "create", "fleet", "a.edgehost-bundle")
    edgehost("remote", "init", "others", "--root-key", "keys/online.key", "--online-key", "keys/root.key")
    shown = edgehost("bundle", "show", "a.edgehost-bundle", "--root", "others/metadata/1.root.json", code=1)
    assert shown["holds"] is False
    assert shown["reason"]
    Path("b.edgehost-bundle").write_bytes(Path("a.edgehost-bundle").read_bytes()[:-2000])
    assert edgehost("bundle", "show", "b.edgehost-bundle", code=1)["code"] == "cut-bundle"


def test_without_a_running_host_a_bundle_waits_for_it(edgehost: Edgehost) -> None:
    edgehost("bundle", "create", "fleet", "a.edgehost-bundle")
    Path("edgehost.toml").write_text("")
    refused = edgehost("bundle", "apply", "a.edgehost-bundle", code=1)
    assert "no remote of transport 'stick'" in refused["message"]
    Path("edgehost.toml").write_text(STICK.format("one") + STICK.format("two"))
    assert "--remote" in edgehost("bundle", "apply", "a.edgehost-bundle", code=2)["message"]
    assert (
        edgehost("bundle", "apply", "a.edgehost-bundle", "--remote", "three", code=5)["code"] == "not-found"
    )
    waits = edgehost("bundle", "apply", "a.edgehost-bundle", "--remote", "two")
    assert waits["outcome"] == "waits"
    assert Path("data/remotes/two/inbox/a.edgehost-bundle").is_file()
    Path("c.edgehost-bundle").write_bytes(b"nonsense" * 100)
    assert (
        edgehost("bundle", "apply", "c.edgehost-bundle", "--remote", "two", code=1)["code"]
        == "malformed-bundle"
    )


def test_a_hosts_shelf_becomes_a_bundle_of_what_it_has(edgehost: Edgehost) -> None:
    Path("edgehost.toml").write_text(STICK.format("fleet"))
    assert (
        "no remote"
        in edgehost("bundle", "create", "other", "a.edgehost-bundle", "--from-host", code=5)["message"]
    )
    nothing = edgehost("bundle", "create", "fleet", "a.edgehost-bundle", "--from-host", code=5)
    assert "Nothing is published there" in nothing["message"]
