"""Ports that make no sense are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.port_spec import Direction, read_ports
from edgehost.domain.spec_reader import SpecReader


def read(**port: Any) -> Any:
    return read_ports(SpecReader({"p": port}))["p"]


@pytest.mark.parametrize(
    ("port", "what"),
    [
        ({"direction": "outbound", "topic": "a/b"}, "no meaning"),
        ({"direction": "inbound", "adapter": "a"}, "no meaning"),
        ({"direction": "outbound", "keys": ["a"], "callback": "b"}, "beside callback"),
        ({"direction": "outbound", "breaker": {"unavalable": {}}}, "no class of errors"),
        ({"direction": "inbound", "topic": "a/#/b"}, "cannot be subscribed"),
        ({"direction": "inbound", "topic": "a/{name}+"}, "cannot be subscribed"),
    ],
)
def test_what_would_do_nothing_is_refused(port: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSpecificationError, match=what):
        read(**port)


def test_a_topic_may_name_the_record_and_a_breaker_any_class_of_errors() -> None:
    port = read(direction="inbound", topic="drones/{id}/state", breaker={"port-timeout": {}, "default": {}})
    assert (port.direction, port.topic) == (Direction.INBOUND, "drones/{id}/state")
    assert set(port.breaker) == {"port-timeout", "default"}
