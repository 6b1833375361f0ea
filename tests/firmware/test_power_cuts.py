"""The power goes at any byte of flash: the device comes back with the old release or the new one, never neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.firmware.conftest import Manifest, Start
from tests.firmware.device_client import CHANGED, GET, POST, PUT
from tests.firmware.wat_guests import saying

SECTOR = 4096
V1 = saying("one" + "." * 300)
V2 = saying("two" + "." * 1200)  # more than two sectors
M1, M2 = Manifest(V1, 1).bytes(), Manifest(V2, 2).bytes()
CUT = 99


def with_first_release(start: Start) -> bytes:
    """The flash of a device that runs V1."""
    with start() as device:
        assert device.client.deploy(V1, M1).code == CHANGED
    return bytes(device.flash.read_bytes())


def transferred(start: Start) -> bytes:
    """The same with all of V2 in the other slot."""
    with start() as device:
        assert device.client.put_blocks(PUT, "slot/manifest", M2).code == CHANGED
        assert device.client.put_blocks(PUT, "slot/image", V2).code == CHANGED
    return bytes(device.flash.read_bytes())


def cut_during(start: Start, flash: Path, content: bytes, after: int, *, deploying: bool) -> bool:
    """Starts from ``content`` and lets the power go after so many bytes of flash; whether it went."""
    flash.write_bytes(content)
    with start(EDGEHOST_CUT_AFTER=str(after)) as device:
        try:
            if deploying:
                device.client.deploy(V2, M2)
            else:
                device.client.ask(GET, "id")
        except BrokenPipeError:
            return True
    return False


def require_sound(start: Start, *, newest: str = "two") -> str:
    """After the cut the old or the new one answers, and the deployment goes through at the next try."""
    with start() as device:
        said: str = device.client.call("device-blink", "who").text[:3]
        assert said in ("one", "two")
        if said != newest:
            assert device.client.deploy(V2, M2).code == CHANGED
        assert device.client.call("device-blink", "who").text[:3] == newest
        assert device.client.ask(GET, "slot").document["quarantined"] == []
    return said


def test_the_image_is_longer_than_two_sectors() -> None:
    assert len(V2) > 2 * SECTOR


@pytest.mark.slow
def test_a_cut_at_any_byte_of_a_deployment(start: Start, tmp_path: Path) -> None:
    content = with_first_release(start)
    flash = tmp_path / "flash"
    after, said = 0, set()
    while cut_during(start, flash, content, after, deploying=True):
        said.add(require_sound(start))
        after += 127  # a prime: all residues of words, records and marks are met
    assert after > 5 * SECTOR  # head, three sectors erased, and the image
    assert said in ({"one"}, {"one", "two"})


@pytest.mark.slow
def test_a_cut_at_every_byte_of_a_commit(start: Start, tmp_path: Path) -> None:
    with_first_release(start)
    content = transferred(start)
    flash = tmp_path / "flash"
    after, said = 0, set()
    while cut_during(start, flash, content, after, deploying=True):
        said.add(require_sound(start))
        after += 1
    assert after == 4 * 32  # two records of the start, the trial, the commit
    assert said == {"one"}  # the last byte of the commit's record makes it count


@pytest.mark.slow
def test_a_cut_while_the_journal_turns_over(start: Start, tmp_path: Path) -> None:
    with_first_release(start)
    content = transferred(start)
    flash = tmp_path / "flash"
    flash.write_bytes(content)
    records = sum(1 for at in range(0, SECTOR, 32) if content[at : at + 32] != b"\xff" * 32)
    while records + 3 < SECTOR // 32:  # each start writes two
        with start() as device:
            device.client.ask(GET, "id")
        records += 2
    content = flash.read_bytes()
    after, turned, said = 0, 0, set()
    while cut_during(start, flash, content, after, deploying=True):
        turned += flash.read_bytes()[SECTOR : SECTOR + 32] != content[SECTOR : SECTOR + 32]
        said.add(require_sound(start))
        after += 1 if not 128 <= after <= SECTOR + 64 else 127  # within the sector that is erased
    assert after > SECTOR  # the erased sector is part of it
    assert turned
    assert said == {"one"}


@pytest.mark.slow
def test_a_cut_while_the_journal_turns_over_lets_nothing_older_in(start: Start, tmp_path: Path) -> None:
    with_first_release(start)
    flash = tmp_path / "flash"
    newest = Manifest(V2, 9).bytes()
    with start() as device:
        assert device.client.deploy(V2, newest).code == CHANGED
        assert device.client.ask(POST, "slot/rollback").code == CHANGED
    records = sum(flash.read_bytes()[at : at + 32] != b"\xff" * 32 for at in range(SECTOR, 2 * SECTOR, 32))
    records = records or sum(flash.read_bytes()[at : at + 32] != b"\xff" * 32 for at in range(0, SECTOR, 32))
    while records < SECTOR // 32 - 1:  # each start writes two
        with start() as device:
            device.client.ask(GET, "id")
        records += 2
    content = flash.read_bytes()
    older = Manifest(saying("between"), 5).bytes()
    after = 0
    while cut_during(start, flash, content, after, deploying=False):
        with start() as device:
            assert device.client.ask(PUT, "slot/manifest", older).text.startswith("sequence:")
            assert device.client.ask(PUT, "slot/manifest", newest).document["have"] == len(V2)
        after += 3 if not 128 <= after <= SECTOR else 997  # within the sector that is erased
    assert after > SECTOR


def test_cuts_at_every_start_never_end_in_nothing(start: Start, tmp_path: Path) -> None:
    content = with_first_release(start)
    flash = tmp_path / "flash"
    for after in range(0, 64, 3):
        assert cut_during(start, flash, content, after, deploying=False)
        with start() as device:
            assert device.client.call("device-blink", "who").text[:3] == "one"


def test_a_transfer_goes_on_after_a_cut_where_the_last_whole_sector_ends(start: Start) -> None:
    with_first_release(start)
    with start(EDGEHOST_CUT_AFTER=str(64 + 3 * SECTOR + 900)) as device, pytest.raises(BrokenPipeError):
        device.client.deploy(V2, M2)
    with start() as device:
        assert device.client.ask(GET, "slot").document["have"] == SECTOR
        offered = device.client.ask(PUT, "slot/manifest", M2)
        assert offered.document == {"have": SECTOR, "size": len(V2)}
        assert device.client.put_blocks(PUT, "slot/image", V2, offset=SECTOR).code == CHANGED
        assert device.client.ask(POST, "slot/commit").code == CHANGED


def test_a_cut_line_goes_on_at_the_very_byte(start: Start) -> None:
    with start() as device:
        client = device.client
        client.ask(PUT, "slot/manifest", M2)
        client.put_blocks(PUT, "slot/image", V2, stop_at=3 * 512)
        assert client.ask(GET, "slot").document["have"] == 3 * 512
        beyond = client.put_blocks(PUT, "slot/image", V2, offset=5 * 512)
        assert (beyond.code, beyond.document["have"]) == (0x88, 3 * 512)
        again = client.put_blocks(PUT, "slot/image", V2, offset=512)  # known blocks are passed over
        assert (again.code, again.document["have"]) == (CHANGED, len(V2))
        assert client.ask(POST, "slot/commit").code == CHANGED
        assert client.call("device-blink", "who").text[:3] == "two"


def test_another_manifest_begins_the_transfer_anew(start: Start) -> None:
    with start() as device:
        client = device.client
        client.ask(PUT, "slot/manifest", M2)
        client.put_blocks(PUT, "slot/image", V2, stop_at=512)
        assert client.ask(PUT, "slot/manifest", M1).document["have"] == 0
        assert client.ask(POST, "slot/commit").code == 0x88
        assert client.deploy(V1, M1).code == CHANGED
