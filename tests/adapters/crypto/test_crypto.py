"""Hashes and encryption by themselves."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.adapters.crypto.aes_gcm import AesGcmVault, key_id
from edgehost.adapters.crypto.key_file import read_key_file
from edgehost.adapters.crypto.scrypt_hashes import Cost, ScryptHashes
from edgehost.domain.errors import DamagedError, InvalidConfigError, KeyLostError

KEY = bytes(range(32))
VAULT = AesGcmVault([KEY])
SEALED = VAULT.seal(b"some text", "a")


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_is_sealed_opens_in_its_place(clear: bytes, about: str) -> None:
    sealed = VAULT.seal(clear, about)
    assert VAULT.open(sealed, about) == clear
    assert VAULT.seal(clear, about) != sealed
    with pytest.raises(DamagedError):
        VAULT.open(sealed, about + "x")


@given(st.data())
def test_a_changed_character_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SEALED) - 1))
    changed = SEALED[:at] + data.draw(st.sampled_from("A/+0$b")) + SEALED[at + 1 :]
    if changed != SEALED:
        with pytest.raises((DamagedError, KeyLostError)):
            VAULT.open(changed, "a")


@pytest.mark.parametrize(
    "stored", [None, 1, "", "plain", "$aes-256-gcm$", f"$aes-256-gcm${key_id(KEY)}$AAAA"]
)
def test_what_was_never_sealed_is_damaged(stored: object) -> None:
    with pytest.raises(DamagedError):
        VAULT.open(stored, "a")


def test_keys_are_turned_over_and_a_lost_one_is_named() -> None:
    other = secrets.token_bytes(32)
    sealed = VAULT.seal(b"x", "a")
    both = AesGcmVault([KEY, other])
    assert both.open(sealed, "a") == b"x"
    assert key_id(other) in both.seal(b"x", "a")
    with pytest.raises(KeyLostError, match=key_id(KEY)):
        AesGcmVault([other]).open(sealed, "a")
    assert KEY.hex() not in repr(VAULT)


def test_a_key_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(InvalidConfigError, match="cannot be read"):
        read_key_file(path)
    path.write_bytes(KEY)
    path.chmod(0o644)
    with pytest.raises(InvalidConfigError, match="chmod 600"):
        read_key_file(path)
    path.chmod(0o600)
    assert read_key_file(path) == (KEY,)
    path.write_bytes(KEY + KEY[::-1])
    assert read_key_file(path) == (KEY, KEY[::-1])
    for content in (b"", KEY[:31], KEY + b"x", bytes(32), KEY * 100):
        path.write_bytes(content)
        with pytest.raises(InvalidConfigError):
            read_key_file(path)


async def test_a_hash_says_how_it_was_made_and_has_its_own_salt() -> None:
    hashes = ScryptHashes(Cost(ln=4, r=8, p=1))
    first, second = await hashes.hashed("pass wörd"), await hashes.hashed("pass wörd")
    assert first != second
    assert first.startswith("$scrypt$ln=4,r=8,p=1$")
    assert await hashes.fits("pass wörd", first)
    assert not await hashes.fits("pass word", first)
    assert await ScryptHashes().fits("pass wörd", second)  # whatever is standard by then
    assert hashes.is_hash(first)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$scrypt$ln=30,r=99,p=99$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43,
        "$scrypt$ln=0,r=0,p=0$" + "A" * 22 + "$" + "A" * 43,
    ],
)
async def test_what_is_no_affordable_hash_fits_nothing(stored: str) -> None:
    assert not await ScryptHashes().fits("x", stored)


def test_a_host_without_encrypted_members_does_not_load_the_library() -> None:
    code = (
        "import sys, edgehost.composition.secrets, edgehost.usecases.sealed_records;"
        "from edgehost.adapters.crypto.aes_gcm import AesGcmVault; AesGcmVault([bytes(range(32))]);"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
