"""An author's way from two keys to a signed, mirrored release, on the command line alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgehost.cli.main import main
from tests.json_commands import Edgehost, json_commands

EXAMPLES = Path(__file__).parents[2] / "examples"
TELEMETRY = EXAMPLES / "telemetry" / "telemetry-1.0.0.wasm"
TELEMETRY_NEXT = EXAMPLES / "telemetry-1.1.0" / "telemetry-1.1.0.wasm"


@pytest.fixture
def edgehost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgehost:
    """Runs a command in an empty folder; gives its JSON, or its error's when another exit code is expected."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEHOST_PASSPHRASE", raising=False)

    return json_commands(capsys)


@pytest.fixture
def fleet(edgehost: Edgehost) -> Edgehost:
    """The same, with keys and an empty repository."""
    for name in ("root", "online"):
        edgehost("keygen", f"keys/{name}", "--no-passphrase")
    edgehost("remote", "init", "fleet", "--root-key", "keys/root.key", "--online-key", "keys/online.key")
    return edgehost


def test_keys_are_made_once_and_kept_to_their_owner(edgehost: Edgehost) -> None:
    made = edgehost("keygen", "keys/root", "--no-passphrase")
    private = Path(made["private_file"])
    assert private.stat().st_mode & 0o777 == 0o600
    assert not made["encrypted"]
    before = private.read_bytes()
    assert edgehost("keygen", "keys/root", "--no-passphrase", code=1)["code"] == "conflict"
    assert private.read_bytes() == before


def test_a_repository_that_does_not_come_first_is_asked_for(fleet: Edgehost) -> None:
    told = fleet("publish", str(TELEMETRY), "fleet", "--key", "keys/online.key", code=2)
    assert "the repository's folder comes first" in told["message"]


def test_a_passphrase_comes_from_the_environment(edgehost: Edgehost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEHOST_PASSPHRASE", "correct horse")
    assert edgehost("keygen", "a")["encrypted"]
    assert edgehost("keygen", "b")["encrypted"]
    words = ("remote", "init", "fleet", "--root-key", "a.key", "--online-key", "b.key")
    monkeypatch.setenv("EDGEHOST_PASSPHRASE", "wrong")
    assert "passphrase is wrong" in edgehost(*words, code=1)["message"]
    monkeypatch.setenv("EDGEHOST_PASSPHRASE", "correct horse")
    assert edgehost(*words)["complete"]


def test_without_terminal_and_environment_nobody_is_asked(edgehost: Edgehost) -> None:
    assert "set $EDGEHOST_PASSPHRASE" in edgehost("keygen", "a", code=2)["message"]
    assert not Path("a.key").exists()


def test_a_release_is_signed_and_mirrored_to_a_folder(fleet: Edgehost) -> None:
    published = fleet(
        "publish", "fleet", str(TELEMETRY), str(TELEMETRY_NEXT), "--key", "keys/online.key", "--to", "stick"
    )
    assert [release["version"] for release in published["published"]] == ["1.0.0", "1.1.0"]
    assert [release["sequence"] for release in published["published"]] == [1, 2]
    assert published["mirrored"]["stick"]["published"] > 0
    assert (
        Path("stick/metadata/timestamp.json").read_bytes()
        == Path("fleet/metadata/timestamp.json").read_bytes()
    )
    shown = fleet("remote", "show", "fleet")
    assert [release["version"] for release in shown["releases"]] == ["1.0.0", "1.1.0"]


def test_what_a_publisher_may_not_have_meant_is_noted(fleet: Edgehost) -> None:
    def notes(file: Path) -> list[str]:
        found: list[str] = fleet("publish", "fleet", str(file), "--key", "keys/online.key")["notes"]
        return found

    assert notes(TELEMETRY_NEXT) == []
    assert notes(TELEMETRY) == ["telemetry 1.1.0 is newer than 1.0.0; hosts that have it stay."]
    assert notes(TELEMETRY_NEXT) == ["telemetry 1.1.0 was on offer with the same bytes; it is signed again."]


def test_a_second_mirroring_sends_nothing(fleet: Edgehost) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    assert fleet("remote", "mirror", "fleet", "--to", "stick")["mirrored"]["stick"]["unchanged"] == 0
    again = fleet("remote", "mirror", "fleet", "--to", "stick")["mirrored"]["stick"]
    assert (again["published"], again["removed"]) == (0, 0)


def test_a_version_is_one_set_of_bytes(fleet: Edgehost, tmp_path: Path) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    other = tmp_path / "other.wasm"
    other.write_bytes(TELEMETRY.read_bytes()[:8] + b"\0\x02\x01x" + TELEMETRY.read_bytes()[8:])
    refused = fleet("publish", "fleet", str(other), "--key", "keys/online.key", code=1)
    assert "raise the version" in refused["hint"]


def test_what_is_no_component_is_refused_before_anything_is_signed(fleet: Edgehost, tmp_path: Path) -> None:
    bare = tmp_path / "bare.wasm"
    bare.write_bytes(b"\0asm\1\0\0\0")
    refused = fleet("publish", "fleet", str(TELEMETRY), str(bare), "--key", "keys/online.key", code=1)
    assert "edgehost build" in refused["hint"]
    assert fleet("remote", "show", "fleet")["releases"] == []
    assert fleet("publish", "fleet", str(tmp_path / "none.wasm"), "--key", "keys/online.key", code=5)


def test_a_key_without_a_say_signs_nothing(fleet: Edgehost) -> None:
    refused = fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/root.key", code=1)
    assert "online key" in refused["hint"]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("mqtt://localhost", "must end in the remote's name"),
        ("mqtt://u:p@localhost/fleet", "set $EDGEHOST_MQTT_PASSWORD"),
        ("https://localhost/fleet", "is neither a folder nor mqtt://"),
        ("mqtt://localhost:port/fleet", "is no address"),
    ],
)
def test_a_target_that_cannot_be_meant_is_a_usage_error(fleet: Edgehost, target: str, complaint: str) -> None:
    words = ("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key", "--to", target)
    assert complaint in fleet(*words, code=2)["message"]
    assert fleet("remote", "show", "fleet")["releases"] == []


def test_a_stick_that_is_not_there_keeps_what_was_signed(fleet: Edgehost) -> None:
    words = ("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key", "--to", "media/usb/fleet")
    assert "edgehost remote mirror fleet --to media/usb/fleet" in fleet(*words, code=3)["hint"]
    assert not Path("media").exists()
    assert len(fleet("remote", "show", "fleet")["releases"]) == 1


def test_two_of_three_holders_make_a_root(edgehost: Edgehost) -> None:
    for name in ("a", "b", "c", "online"):
        edgehost("keygen", name, "--no-passphrase")
    root_keys = ("--root-key", "a.key", "--root-key", "b.pub", "--root-key", "c.pub")
    waiting = edgehost("remote", "init", "fleet", *root_keys, "--online-key", "online.key")
    assert (waiting["complete"], waiting["missing"]) == (False, 1)
    assert edgehost("remote", "show", "fleet")["staged_root"]["missing"] == 1
    assert edgehost("publish", "fleet", str(TELEMETRY), "--key", "online.key", code=5)
    shutil.copy(waiting["root_file"], "travels.json")
    assert len(edgehost("remote", "sign", "travels.json", "--key", "c.key")["signed_by"]) == 2
    done = edgehost("remote", "sign", "fleet", "--merge", "travels.json")
    assert done["complete"]
    edgehost("publish", "fleet", str(TELEMETRY), "--key", "online.key")


def test_a_key_that_does_not_count_signs_nothing(
    edgehost: Edgehost, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "d", "online"):
        edgehost("keygen", name, "--no-passphrase")
    root_keys = ("--root-key", "a.key", "--root-key", "b.pub", "--threshold", "2")
    waiting = edgehost("remote", "init", "fleet", *root_keys, "--online-key", "online.key")
    shutil.copy(waiting["root_file"], "travels.json")
    before = Path("travels.json").read_bytes()
    for place in ("travels.json", "fleet"):
        refused = edgehost("remote", "sign", place, "--key", "d.key", code=1)
        assert "d.key (key " in refused["message"]
        assert "is none of this root's holders" in refused["message"]
        public = edgehost("remote", "sign", place, "--key", "b.pub", code=2)
        assert "b.pub cannot sign; give b.key" in public["message"]
    assert Path("travels.json").read_bytes() == before
    assert main(["remote", "sign", "travels.json", "--key", "b.key"]) == 0
    assert "(b.key)" in capsys.readouterr().out


def test_a_holder_of_the_old_root_signs_a_copy_that_has_it_beside_it(fleet: Edgehost) -> None:
    fleet("keygen", "next", "--no-passphrase")
    waiting = fleet("remote", "rotate", "fleet", "--root-key", "next.key")
    shutil.copy(waiting["root_file"], "travels.json")
    words = ("remote", "sign", "travels.json", "--key", "keys/root.key")
    assert "--old-root" in fleet(*words, code=1)["hint"]
    fleet(*words, "--old-root", "fleet/metadata/1.root.json")
    assert fleet("remote", "sign", "fleet", "--merge", "travels.json")["complete"]


def test_an_online_key_is_replaced_and_the_old_one_has_no_say_any_more(fleet: Edgehost) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    fleet("keygen", "keys/next", "--no-passphrase")
    rotated = fleet("remote", "rotate", "fleet", "--online-key", "keys/next.key", "--key", "keys/root.key")
    assert (rotated["complete"], rotated["root_version"]) == (True, 2)
    assert fleet("publish", "fleet", str(TELEMETRY_NEXT), "--key", "keys/online.key", code=1)
    fleet("publish", "fleet", str(TELEMETRY_NEXT), "--key", "keys/next.key")


def test_dates_are_renewed_and_releases_withdrawn(fleet: Edgehost) -> None:
    fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/online.key")
    before = fleet("remote", "show", "fleet")["roles"]["timestamp"]["version"]
    fleet("remote", "refresh", "fleet", "--key", "keys/online.key", "--to", "stick")
    assert fleet("remote", "show", "fleet")["roles"]["timestamp"]["version"] == before + 1
    fleet("remote", "withdraw", "fleet", "telemetry@1.0.0", "--key", "keys/online.key", "--to", "stick")
    assert fleet("remote", "show", "fleet")["releases"] == []
    assert fleet("remote", "withdraw", "fleet", "telemetry@1.0.0", "--key", "keys/online.key", code=5)
    assert fleet("remote", "withdraw", "fleet", "telemetry", "--key", "keys/online.key", code=2)


def test_people_are_told_what_to_do_next(fleet: Edgehost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "fleet", str(TELEMETRY), "--key", "keys/online.key", "--to", "stick"]) == 0
    text = capsys.readouterr().out
    assert "Signed telemetry 1.0.0: " in text
    assert "Mirrored to stick: " in text
    assert main(["remote", "show", "fleet"]) == 0
    assert "telemetry  1.0.0" in capsys.readouterr().out
    assert main(["keygen", "c", "--no-passphrase"]) == 0
    assert main(["remote", "rotate", "fleet", "--root-key", "c.key"]) == 0
    assert "edgehost remote sign fleet --key NAME.key" in capsys.readouterr().out


def test_a_built_component_is_one_signed_file_away(fleet: Edgehost, tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    shutil.copytree(EXAMPLES / "telemetry", folder, ignore=shutil.ignore_patterns("build"))
    (folder / "build").mkdir()
    shutil.copy(TELEMETRY, folder / "build" / "telemetry.wasm")  # a build drops what an earlier one embedded
    built = fleet("build", str(folder), "-o", str(tmp_path / "out"))
    assert (built["component"], built["version"], built["kind"]) == ("telemetry", "1.0.0", "model")
    published = fleet("publish", "fleet", built["path"], "--key", "keys/online.key")
    assert published["published"][0]["digest"] == built["sha256"]


def test_a_folder_without_component_toml_is_not_built(edgehost: Edgehost, tmp_path: Path) -> None:
    assert "component.toml" in edgehost("build", str(tmp_path), code=5)["message"]


def test_a_team_publishes_with_its_own_key_and_the_next_refresh_brings_it_on_offer(fleet: Edgehost) -> None:
    fleet("keygen", "keys/team", "--no-passphrase")
    fleet(
        "remote", "delegate", "fleet", "--role", "sensing", "--paths", "telemetry/*",
        "--team-key", "keys/team.pub", "--key", "keys/online.key",
    )  # fmt: skip
    published = fleet("publish", "fleet", str(TELEMETRY), "--key", "keys/team.key")
    assert "edgehost remote refresh" in published["notes"][-1]
    shown = fleet("remote", "show", "fleet")
    assert (shown["releases"], shown["delegated"][0]["waiting"]) == ([], True)
    fleet("remote", "refresh", "fleet", "--key", "keys/online.key", "--to", "stick")
    shown = fleet("remote", "show", "fleet")
    assert [each["version"] for each in shown["releases"]] == ["1.0.0"]
    assert not shown["delegated"][0]["waiting"]
    assert any(Path("stick/chunk").iterdir())
    fleet("remote", "undelegate", "fleet", "--role", "sensing", "--key", "keys/online.key")
    assert fleet("remote", "show", "fleet")["releases"] == []
