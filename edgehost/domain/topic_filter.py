"""MQTT topics: which filters they match, and record ids in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Where the record's id stands in the topic of an inbound port.
ID: Final = "{id}"
_ONE, _REST = "+", "#"
LONGEST_TOPIC: Final = 1024


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message on the topic belongs to a subscription of the filter (MQTT 5, section 4.7)."""
    wanted, got = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {_ONE, _REST}:
        return False
    for place, step in enumerate(wanted):
        if step == _REST:
            return True
        if place >= len(got) or step not in {_ONE, got[place]}:
            return False
    return len(wanted) == len(got)


def matches_any(filters: Iterable[str], topic: str) -> bool:
    """Whether one of the filters matches."""
    return any(matches(each, topic) for each in filters)


def is_filter(text: str) -> bool:
    """Whether the text can be subscribed to."""
    steps = text.split("/")
    if not text or len(text) > LONGEST_TOPIC or "\0" in text:
        return False
    return all(
        step == _ONE
        or (_ONE not in step and _REST not in step)
        or (step == _REST and place == len(steps) - 1)
        for place, step in enumerate(steps)
    )


def is_topic(text: str) -> bool:
    """Whether the text can be published to."""
    return is_filter(text) and _ONE not in text and _REST not in text


def filter_of(port_topic: str) -> str:
    """What a port's topic subscribes to."""
    return "/".join(_ONE if step == ID else step for step in port_topic.split("/"))


def id_in(port_topic: str, topic: str) -> str:
    """The record's id that a message's topic names; "" when the port's topic names none."""
    for wanted, got in zip(port_topic.split("/"), topic.split("/"), strict=False):
        if wanted == ID:
            return got
    return ""
