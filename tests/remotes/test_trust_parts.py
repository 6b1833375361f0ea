"""The parts of the trust check by themselves: signed targets, the clock's floor, frames, delegations."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Targets
from tuf.ngclient import Updater
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from edgehost.domain.errors import (
    EdgehostError,
    InvalidSpecificationError,
    RemoteUnreachableError,
    TooLargeError,
    UntrustedReleaseError,
)
from remotes.clock_floor import EARLIEST, ClockFloor, from_seconds, raise_floor, read_floor, write_floor
from remotes.frames import BODY_MOST_BYTES, HEADER, BrokenFrameError, Frame, packed, parsed_header
from remotes.repository import STANDARD_EXPIRY
from remotes.signed_target import custom_field, read_target
from remotes.transport import CHUNK_BYTES
from remotes.trust import SIGNED_AT, CheckRequest, check_repository
from remotes.trust_process import Pipes, serve
from tests.remotes.workshop import NOW, Workshop, meta, signed

GOOD: dict[str, Any] = {
    "component": "telemetry",
    "version": "1.0.0",
    "kind": "model",
    "abi": "extism",
    "sequence": 7,
    "device_classes": ["any"],
    "chunk_bytes": CHUNK_BYTES,
    "chunks": ["ab" * 32, "cd" * 32],
}
PATH = "telemetry/1.0.0.wasm"


def read(custom: object, *, path: str = PATH, length: int = 40_000, digest: str = "ef" * 32) -> Any:
    return read_target(path, length=length, hashes={"sha256": digest}, custom=custom, remote="demo")


def test_a_signed_target_says_all_that_a_host_asks() -> None:
    offer = read({**GOOD, "a key of a later version": 1})
    assert (offer.component, offer.sequence, offer.size_bytes, offer.remote) == (
        "telemetry",
        7,
        40_000,
        "demo",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"component": "pump"},
        {"component": 1},
        {"component": "../etc"},
        {"version": "1.0.1"},
        {"version": "latest"},
        {"kind": "virus"},
        {"abi": ""},
        {"abi": None},
        {"sequence": 0},
        {"sequence": -1},
        {"sequence": True},
        {"sequence": 2**60},
        {"sequence": "7"},
        {"device_classes": []},
        {"device_classes": "any"},
        {"device_classes": [1]},
        {"chunk_bytes": 1},
        {"chunk_bytes": 2**40},
        {"chunks": []},
        {"chunks": ["ab" * 32]},
        {"chunks": ["ab" * 32] * 3},
        {"chunks": ["AB" * 32] * 2},
        {"chunks": ["../../etc/passwd", "x"]},
        {"chunks": {"0": "ab" * 32}},
        {"chunks": ["ab" * 32] * 2000},
    ],
    ids=lambda change: f"{json.dumps(change)[:40]} of {len(json.dumps(change))}",
)
def test_a_custom_field_that_lies_is_refused_with_its_path(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecificationError, match=r"telemetry/1\.0\.0\.wasm"):
        read({**GOOD, **change})


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_a_custom_field_that_lacks_something_is_refused(missing: str) -> None:
    with pytest.raises(InvalidSpecificationError, match=missing):
        read({key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize(
    ("length", "digest"), [(0, "ef" * 32), (2**40, "ef" * 32), (40_000, ""), (40_000, "EF")]
)
def test_a_length_or_digest_that_cannot_be_is_refused(length: int, digest: str) -> None:
    with pytest.raises(InvalidSpecificationError):
        read(GOOD, length=length, digest=digest)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(GOOD)) | st.text(), inner),
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_signed_is_read_or_refused_and_never_crashes(custom: object) -> None:
    with pytest.raises(EdgehostError):
        read(custom)
    if isinstance(custom, dict):
        with contextlib.suppress(EdgehostError):
            read({**GOOD, **custom})


def test_what_the_publisher_writes_the_host_reads(tmp_path: Path) -> None:
    release = Workshop(tmp_path).publish("1.0.0").release
    assert release is not None
    spec: Any = type("Spec", (), {**asdict(release), "name": release.component})
    assert custom_field(spec, sequence=1, chunks=release.chunks)["chunks"] == list(release.chunks)


# The clock


def test_a_clock_at_1970_is_judged_by_the_time_of_writing() -> None:
    assert ClockFloor().reference(0.0, ["k"]) == EARLIEST


def test_the_floor_holds_for_the_keys_that_vouch_for_it_and_no_others() -> None:
    floor = ClockFloor(int(NOW), ("a", "b"))
    assert floor.reference(0.0, ["b", "a"]) == from_seconds(NOW)
    assert floor.reference(0.0, ["c"]) == EARLIEST


def test_the_floor_rises_by_the_hour_and_never_falls() -> None:
    floor = ClockFloor(int(NOW), ("k",))
    assert floor.raised_to(from_seconds(NOW + 3599), ["k"]) is floor
    assert floor.raised_to(from_seconds(NOW - 10_000), ["k"]) is floor
    assert floor.raised_to(from_seconds(NOW + 3600), ["k"]).seconds == NOW + 3600


def test_the_floor_survives_on_the_disk_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    assert read_floor(tmp_path) == ClockFloor()
    write_floor(tmp_path, ClockFloor(5, ("k",)))
    assert read_floor(tmp_path) == ClockFloor(5, ("k",))
    raise_floor(tmp_path, NOW)
    assert read_floor(tmp_path) == ClockFloor(int(NOW), ("k",))
    for damage in (b"", b"{}", b"[", b"\xff", b'{"seconds": "x", "keys": []}', b'{"seconds": 1, "keys": 2}'):
        (tmp_path / "clock_floor.json").write_bytes(damage)
        assert read_floor(tmp_path) == ClockFloor()
        raise_floor(tmp_path, NOW)  # nobody vouches for it
        assert read_floor(tmp_path) == ClockFloor()


@given(st.floats(allow_nan=False) | st.integers(-(2**70), 2**70))
def test_no_clock_reading_is_beyond_a_date(seconds: float) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) <= from_seconds(seconds) <= datetime.max.replace(tzinfo=UTC)


def check(shop: Workshop, folder: Path, files: dict[str, bytes] | None = None) -> Any:
    served = shop.files() | (files or {})
    request = CheckRequest("demo", folder, shop.root_file, shop.now)
    return check_repository(request, lambda path, _most: served.get(path))


def test_a_signing_time_in_the_future_of_a_lost_clock_is_the_time(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    shop.now = 0.0
    assert check(shop, tmp_path / "trusted").reference == NOW
    assert read_floor(tmp_path / "trusted").seconds == NOW


@pytest.mark.parametrize("value", [2**80, -5, "soon", None])
def test_a_signing_time_that_cannot_be_does_no_harm(tmp_path: Path, value: object) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    timestamp = shop.repository.timestamp()
    assert timestamp is not None
    timestamp.signed.unrecognized_fields[SIGNED_AT] = value
    forged = {"metadata/timestamp.json": signed(timestamp.signed, [shop.online])}
    try:
        verdict = check(shop, tmp_path / "trusted", forged)
    except UntrustedReleaseError as error:
        assert "freeze" in error.message  # dated past its own expiry  # noqa: PT017
    else:
        assert verdict.reference == NOW


# Delegations


def delegated(
    shop: Workshop, team: CryptoSigner, paths: list[str], targets: dict[str, Any]
) -> dict[str, bytes]:
    """The files of a repository where a team signs ``targets`` for ``paths``."""
    top = shop.targets()
    top.version += 1
    role = DelegatedRole("pump-team", [team.public_key.keyid], 1, terminating=True, paths=paths)
    top.delegations = Delegations({team.public_key.keyid: team.public_key}, {"pump-team": role})
    theirs = Targets(expires=STANDARD_EXPIRY.of("targets", shop.now), targets=targets)
    content = signed(theirs, [team])
    top_content = signed(top, [shop.online])
    metas = {"targets.json": meta(top.version, top_content), "pump-team.json": meta(1, content)}
    return {
        **shop.forged_state(metas, number=top.version),
        f"metadata/{top.version}.targets.json": top_content,
        "metadata/1.pump-team.json": content,
    }


def test_a_team_signs_its_own_components_and_no_others(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    shop.publish("2.0.0", name="pump")
    pump = shop.targets().targets["pump/2.0.0.wasm"]
    telemetry = shop.targets().targets["telemetry/1.0.0.wasm"]
    withdrawn = Workshop(tmp_path / "other")
    withdrawn.publish("1.0.0", name="valve")
    team = CryptoSigner.generate_ed25519()

    files = delegated(withdrawn, team, ["pump/*"], {"pump/2.0.0.wasm": pump})
    offers = check(withdrawn, tmp_path / "trusted", files).offers
    assert [offer.component for offer in offers] == ["pump", "valve"]

    files = delegated(withdrawn, team, ["pump/*"], {"telemetry/1.0.0.wasm": telemetry})
    with pytest.raises(UntrustedReleaseError, match="may not sign telemetry"):
        check(withdrawn, tmp_path / "newcomer", files)


def test_the_same_sequence_twice_is_refused(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    shop.publish("1.1.0")
    targets = shop.targets()
    targets.version += 1
    for target in targets.targets.values():
        target.unrecognized_fields["custom"]["sequence"] = 1
    with pytest.raises(UntrustedReleaseError, match="sequence 1 twice"):
        check(shop, tmp_path / "trusted", shop.forged_state(targets, number=targets.version))


def test_python_tuf_still_has_the_private_names_that_the_check_relies_on() -> None:
    names = (
        "_load_timestamp",
        "_load_targets",
        "_load_local_metadata",
        "_persist_file",
        "_update_root_symlink",
    )
    assert all(callable(getattr(Updater, name)) for name in names)
    assert {"reference_time", "_trusted_set"} <= set(TrustedMetadataSet.__init__.__code__.co_names)


# The process's protocol


@pytest.mark.parametrize(
    "header", [HEADER.pack(0, 0), HEADER.pack(0, 99), HEADER.pack(BODY_MOST_BYTES + 1, 1), b"\xff" * 5]
)
def test_a_header_that_cannot_be_is_refused(header: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        parsed_header(header)


def test_a_body_over_the_bound_is_not_sent() -> None:
    with pytest.raises(BrokenFrameError):
        packed(Frame.FOUND, b"x" * (BODY_MOST_BYTES + 1))


class Agent:
    """The agent's end of a trust process that runs in a thread."""

    def __init__(self, *, idle_s: float = 20.0) -> None:
        to_process, self._to = os.pipe()
        self._from, from_process = os.pipe()
        self.pipes = Pipes(self._from, self._to)
        self.failure: Exception | None = None

        def run() -> None:
            try:
                serve(Pipes(to_process, from_process), idle_s)
            except BrokenFrameError as error:
                self.failure = error
            finally:
                os.close(to_process)
                os.close(from_process)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def check(
        self, shop: Workshop, folder: Path, answers: dict[str, tuple[Frame, bytes]] | None = None
    ) -> Any:
        """Ask for a check and serve its fetches, with some answers in place of the files."""
        request = {"remote": "demo", "folder": str(folder), "root_file": str(shop.root_file), "now": shop.now}
        self.pipes.send(Frame.CHECK, json.dumps(request).encode())
        while True:
            frame = self.pipes.next_frame()
            assert frame is not None
            kind, body = frame
            if kind is not Frame.FETCH:
                return kind, json.loads(body)
            path = json.loads(body)["path"]
            content = shop.files().get(path)
            missing = (Frame.MISSING, b"") if content is None else (Frame.FOUND, content)
            self.pipes.send(*(answers or {}).get(path, missing))

    def close(self) -> None:
        """Hang up, and wait for the process."""
        os.close(self._to)
        self.thread.join(10)
        assert not self.thread.is_alive()
        os.close(self._from)


def test_the_process_answers_check_after_check_until_the_agent_hangs_up(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    agent = Agent()
    for version in ("1.1.0", "1.2.0"):
        shop.publish(version)
        kind, verdict = agent.check(shop, tmp_path / "trusted")
        assert kind is Frame.VERDICT
        assert verdict["offers"][-1]["version"] == version
    agent.close()
    assert agent.failure is None


@pytest.mark.parametrize(
    "error", [RemoteUnreachableError("no answer", hint="wait"), TooLargeError("too long")]
)
def test_an_error_of_the_transport_comes_back_as_what_it_means(tmp_path: Path, error: EdgehostError) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    agent = Agent()
    body = json.dumps({"code": error.code, "message": error.message, "hint": error.hint}).encode()
    kind, answer = agent.check(shop, tmp_path / "trusted", {"metadata/timestamp.json": (Frame.ERROR, body)})
    assert kind is Frame.ERROR
    assert answer["code"] == ("untrusted-release" if error.code == "too-large" else error.code)
    assert error.message in answer["message"]
    agent.close()


def test_an_agent_that_breaks_the_protocol_ends_the_process(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    agent = Agent()
    agent.pipes.send(Frame.FOUND, b"nobody asked")
    agent.close()
    assert agent.failure is not None
    again = Agent()
    with pytest.raises(AssertionError):
        again.check(shop, tmp_path / "trusted", {"metadata/2.root.json": (Frame.CHECK, b"{}")})
    again.close()
    assert again.failure is not None


def test_a_process_without_work_ends_by_itself() -> None:
    agent = Agent(idle_s=0.01)
    agent.thread.join(10)
    assert not agent.thread.is_alive()
    agent.close()
