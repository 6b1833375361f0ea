"""MQTT topic filters."""

from __future__ import annotations

import pytest

from edgehost.domain.topic_filter import filter_of, id_in, is_filter, is_topic, matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+/c", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("+", "/a", False),
        ("+/+", "/a", True),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


def test_what_can_be_subscribed_and_published_to() -> None:
    assert all(is_filter(text) for text in ("a", "+", "#", "a/+/b", "a/#", "/"))
    assert not any(is_filter(text) for text in ("", "a#", "a/#/b", "a+/b", "x\0", "a" * 2000))
    assert is_topic("a/b")
    assert not is_topic("a/+")


def test_a_ports_topic_may_name_the_record() -> None:
    assert filter_of("drones/{id}/state") == "drones/+/state"
    assert id_in("drones/{id}/state", "drones/d7/state") == "d7"
    assert id_in("drones/state", "drones/state") == ""
