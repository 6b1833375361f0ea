"""Keys: made once, kept for their owner, known from what is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgehost.domain.errors import ConflictError, InvalidConfigError
from remotes.keys import generate_key, load_public_key, load_signer, needs_passphrase


def test_a_key_pair_signs_and_its_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    public_file, keyid = generate_key(tmp_path / "fleet.key")
    assert public_file == tmp_path / "fleet.pub"
    assert stat.S_IMODE((tmp_path / "fleet.key").stat().st_mode) == 0o600
    assert load_public_key(public_file).keyid == keyid == load_signer(tmp_path / "fleet.key").public_key.keyid
    assert b"PRIVATE" not in public_file.read_bytes()


def test_a_passphrase_encrypts_the_key(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key", passphrase="correct horse")
    assert needs_passphrase(tmp_path / "fleet.key")
    assert load_signer(tmp_path / "fleet.key", passphrase="correct horse").public_key.keytype == "ed25519"
    for wrong in ("", "battery staple"):
        with pytest.raises(InvalidConfigError, match="passphrase"):
            load_signer(tmp_path / "fleet.key", passphrase=wrong)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key")
    with pytest.raises(ConflictError, match="exists"):
        generate_key(tmp_path / "fleet.key")


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    generate_key(tmp_path / "fleet.key")
    (tmp_path / "fleet.key").chmod(0o644)
    with pytest.raises(InvalidConfigError, match="can be read by others") as error:
        load_signer(tmp_path / "fleet.key")
    assert "chmod 600" in error.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"keyid": 1}', b"\xff\xfe", b"x" * 20_000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.key").write_bytes(content)
    (tmp_path / "no.key").chmod(0o600)
    with pytest.raises(InvalidConfigError):
        load_public_key(tmp_path / "no.key")
    with pytest.raises(InvalidConfigError):
        load_signer(tmp_path / "no.key")
