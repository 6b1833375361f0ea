"""What an operator is told of hosts: honest presence, and whatever a broker retains is read or passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.fleet_members import Member, Presence, Selection, members_in
from edgehost.domain.fleet_topics import FleetTopics

TOPICS = FleetTopics("yard")
NOW = 10_000.0


@pytest.mark.parametrize(
    ("status", "presence", "age"),
    [
        ({"status": "online", "at": NOW - 30, "every_s": 60}, Presence.ONLINE, 30),
        ({"status": "online", "at": NOW - 300, "every_s": 60}, Presence.QUIET, 300),
        ({"status": "online", "at": NOW - 300, "every_s": 600}, Presence.ONLINE, 300),
        ({"status": "online", "at": NOW + 3600, "every_s": 60}, Presence.ONLINE, None),  # clocks differ
        ({"status": "online", "at": "soon"}, Presence.ONLINE, None),
        ({"status": "offline", "reason": "lost", "at": 1}, Presence.LOST, NOW - 1),
        ({"status": "offline", "reason": "stopped"}, Presence.STOPPED, None),
        ({}, Presence.UNKNOWN, None),
    ],
)
def test_presence_is_no_more_than_what_is_known(
    status: dict[str, Any], presence: Presence, age: float | None
) -> None:
    member = Member("gate", status=status)
    assert (member.presence(NOW), member.age_s(NOW)) == (presence, age)
    assert member.is_asleep == (status.get("status") != "online")


def test_without_a_clock_a_host_has_no_age() -> None:
    member = Member("gate", status={"status": "online", "at": 12.0, "every_s": 60}, clock_is_set=False)
    assert (member.presence(NOW), member.age_s(NOW)) == (Presence.ONLINE, None)


def test_members_are_read_from_their_topics_and_chosen_by_what_they_say() -> None:
    def retained(host: str, below: str, document: Any) -> tuple[str, bytes]:
        return f"edgehost/yard/{host}{below}", json.dumps(document).encode()

    members = members_in(
        TOPICS,
        dict(
            [
                retained(
                    "gate", "", {"class": "pi4", "labels": {"site": "north"}, "capabilities": ["deploy"]}
                ),
                retained("gate", "/twin/components", {"pump": {"version": "1.0.0"}}),
                retained("gate", "/a/hot", {"text": "hot"}),
                retained("gate", "/cmd/deploy/x", {"status": "executing"}),
                retained("gate", "/cmd/deploy/y", {"status": "failed"}),
                retained("gate", "/cmd/explode/z", {"status": "init"}),
                retained("well", "", {"class": "pi5", "labels": {"site": "south"}}),
                retained("ghost", "/status", {"status": "offline"}),  # nobody registered it
                retained("Bad", "", {"class": "x"}),
                retained("_rollout", "/spring", {}),
            ]
        ),
    )
    assert list(members) == ["gate", "well"]
    gate = members["gate"]
    assert (gate.version_of("pump"), gate.open_commands, set(gate.alarms), gate.can) == (
        "1.0.0",
        1,
        {"hot"},
        frozenset({"deploy"}),
    )
    for selection, names in (
        (Selection(everything=True), ["gate", "well"]),
        (Selection(names=("well",)), ["well"]),
        (Selection(device_class="pi4"), ["gate"]),
        (Selection(labels={"site": "south"}), ["well"]),
        (Selection(labels={"site": "south"}, device_class="pi4"), []),
        (Selection(names=("gate", "well"), labels={"site": "south"}), ["well"]),
        (Selection(names=("gate",), labels={"site": "south"}), []),
        (Selection(names=("gate",), device_class="pi4"), ["gate"]),
    ):
        assert [member.name for member in selection.of(members.values())] == names


@pytest.mark.parametrize(
    ("below", "document"),
    [
        ("/twin/deployment/spring", {"state": ["waiting"], "sequence": 3}),
        ("/twin/deployment/spring", {"state": "waiting", "wave": "first"}),
        ("/cmd/deploy/x", {"status": {"is": "init"}}),
    ],
)
def test_a_word_of_another_kind_is_passed_over_and_leaves_the_other_hosts(
    below: str, document: dict[str, Any]
) -> None:
    retained = {f"edgehost/yard/{host}": b'{"class":"pi4"}' for host in ("gate", "well")}
    retained |= {f"edgehost/yard/gate{below}": json.dumps(document).encode()}
    members = members_in(TOPICS, retained)
    assert list(members) == ["gate", "well"]
    assert (members["gate"].deployments, members["gate"].open_commands) == ({}, 0)


@given(
    st.dictionaries(st.text(max_size=40), st.binary(max_size=60), max_size=5),
    st.recursive(
        st.none() | st.text(max_size=5),
        lambda e: st.lists(e, max_size=3) | st.dictionaries(st.text(max_size=5), e, max_size=3),
        max_leaves=6,
    ),
)
def test_whatever_is_retained_is_read_or_passed_over(noise: dict[str, bytes], document: Any) -> None:
    odd = json.dumps(document).encode()
    topics = {f"edgehost/yard/{below}": payload for below, payload in noise.items()}
    for below in ("", "/status", "/twin/components", "/twin/deployment/a", "/a/b", "/cmd/deploy/c"):
        topics[f"edgehost/yard/gate{below}"] = odd
    for member in members_in(TOPICS, topics).values():
        member.presence(NOW)
        assert member.open_commands in {0, 1}
        assert isinstance(member.labels, dict)
        member.version_of("a")
