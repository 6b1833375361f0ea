"""Topics and messages of a fleet: what is built is read, and nothing from outside does more than be refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_command import CommandRecord, CommandState, FleetCommand, Operation
from edgehost.domain.fleet_journal import Entry, Journal, journal_document, read_journal
from edgehost.domain.fleet_messages import (
    LONGEST_LIFE_S,
    command_document,
    read_command,
    read_state,
    read_submission,
    state_document,
)
from edgehost.domain.fleet_rules import MOST_NONCES, HostTime, Replays, require_in_time
from edgehost.domain.fleet_topics import FleetTopics, part_of, require_fleet
from edgehost.domain.rollout_messages import read_order, read_report, report_document
from edgehost.domain.rollout_report import RolloutReport, RolloutState
from edgehost.domain.topic_filter import is_topic, matches

FLEET = FleetTopics("yard")
HOST = FLEET.host("gate")
IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
NAMES = st.from_regex(r"\A[a-z][a-z0-9-]{0,62}\Z")
COMMANDS = st.builds(
    FleetCommand,
    id=IDS,
    operation=st.sampled_from(Operation),
    audience=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    fleet=NAMES,
    issued_at=st.floats(min_value=0, max_value=2e9),
    expires_at=st.floats(min_value=2e9 + 1, max_value=2e9 + 2),
    nonce=st.binary(min_size=16, max_size=16),
    arguments=st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=3).map(
        lambda made: {
            key: value for key, value in made.items() if not isinstance(value, int) or abs(value) < 2**60
        }
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


@given(st.sampled_from(Operation), IDS)
def test_topics_that_are_built_are_read(operation: Operation, command_id: str) -> None:
    topic = HOST.command(operation, command_id)
    found = HOST.command_in(topic)
    assert found is not None
    assert (found.operation, found.id) == (operation, command_id)
    assert is_topic(topic)
    assert matches(HOST.commands, topic)
    assert not HOST.is_own(topic)
    assert HOST.bundle_in(HOST.bundle(command_id)) == command_id
    assert FLEET.host_in(topic) == ("gate", f"cmd/{operation}/{command_id}")


@given(st.text(max_size=80))
def test_any_text_as_a_topic_is_something_or_nothing(text: str) -> None:
    for topic in (
        text,
        f"edgehost/yard/{text}",
        f"edgehost/yard/gate/{text}",
        f"edgehost/yard/gate/cmd/{text}",
    ):
        found = HOST.command_in(topic)
        assert found is None or HOST.command(found.operation, found.id) == topic
        HOST.is_own(topic)
        FLEET.host_in(topic)
        FLEET.order_in(topic)


@given(st.text(max_size=200))
def test_any_name_becomes_one_step_of_a_topic(name: str) -> None:
    assert is_topic(f"a/{part_of(name)}")
    assert "/" not in part_of(name)


@pytest.mark.parametrize("name", ["remote", "", "A", "a/b", "a+", "_rollout"])
def test_some_names_are_no_fleets(name: str) -> None:
    with pytest.raises(RefusedError):
        require_fleet(name)


@given(COMMANDS)
def test_commands_survive_the_wire_and_the_journal(command: FleetCommand) -> None:
    if command.expires_at - command.issued_at > LONGEST_LIFE_S:
        with pytest.raises(RefusedError):
            read_command(command_document(command))
        return
    assert read_command(command_document(command)) == command
    record = CommandRecord(command.id, command.operation, CommandState.EXECUTING, "waits", {"a": 1}, "", 5.0)
    journal = Journal(
        {command.id: Entry(command, record, 1, {"x": 2})}, Replays({"aa": ("k", 1.0, 2.0)}, {"k": 1.0}, 3.0)
    )
    assert read_journal(json.loads(json.dumps(journal_document(journal)))) == journal
    state = json.dumps(state_document(record)).encode()
    assert read_state(state, command.operation, command.id) == record


@given(JSON)
def test_any_json_is_refused_or_read(document: Any) -> None:
    payload = json.dumps(document).encode()
    given_documents = [
        document,
        {"status": "init", "x": document},
        {"status": document},
        {"status": "init", "signed": document},
    ]
    for each in given_documents:
        try:
            read_submission(json.dumps(each).encode())
        except RefusedError:
            continue
    if isinstance(document, dict):
        for read in (read_command, read_order, read_journal):
            try:
                read(document)
            except RefusedError:
                continue
    for reading in (
        lambda: read_report(payload, host="a", deployment="b"),
        lambda: read_state(payload, Operation.DEPLOY, "a"),
    ):
        try:
            reading()
        except RefusedError:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(RefusedError):
        read_submission(b"\xff" + payload)


def test_reports_survive_the_wire() -> None:
    report = RolloutReport("gate", "north", "spring", 3, "ab" * 32, 1, RolloutState.SOAKING, 5.0, "it soaks")
    for each in (report, replace(report, waves=3)):
        wire = json.dumps(report_document(each)).encode()
        assert read_report(wire, host="gate", deployment="spring") == each


@given(st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=30, unique=True))
def test_no_command_is_taken_twice_however_many_come(moments: list[int]) -> None:
    """A memory of three stands for one of 512: what had to be forgotten is refused by its key's floor."""
    replays, taken = Replays(), set()
    for moment in [*moments, *moments]:
        command = FleetCommand(
            str(moment),
            Operation.LOGS,
            ("gate",),
            "yard",
            moment,
            moment + 20_000.0,
            moment.to_bytes(16, "big"),
            {},
            "key",
        )
        try:
            replays.require_new(command)
        except RefusedError:
            continue
        assert moment not in taken
        taken.add(moment)
        replays = replays.with_taken(command, now=0.0, most=3)


def _numbered(number: int) -> FleetCommand:
    nonce = number.to_bytes(16, "big")
    return FleetCommand("a", Operation.LOGS, ("*",), "yard", number, number + 9.0e5, nonce, {}, "key")


def test_the_memory_of_commands_is_bounded() -> None:
    replays = Replays()
    for number in range(MOST_NONCES + 100):
        replays = replays.with_taken(_numbered(number), now=0.0)
    assert len(replays.nonces) == MOST_NONCES
    assert replays.floors == {"key": 99}
    assert len(replays.with_taken(_numbered(1), now=1e9).nonces) == 1


def test_clocks_that_jump_neither_lock_out_nor_let_in() -> None:
    command = FleetCommand("a", Operation.LOGS, ("*",), "yard", 1000.0, 2000.0, bytes(16))
    require_in_time(command, HostTime(1500.0), newest_taken=0)
    for now in (2000.0, 5000.0, 600.0):
        with pytest.raises(RefusedError):
            require_in_time(command, HostTime(now), newest_taken=0)
    require_in_time(command, HostTime(600.0, is_set=False), newest_taken=1000.0 + 3599)
    with pytest.raises(RefusedError, match="not set"):
        require_in_time(command, HostTime(600.0, is_set=False), newest_taken=1000.0 + 3601)
