"""Ports: the named openings of a model, and how each behaves when the world does not answer.

The names are the seed's where they are good. Renamed: ``type`` is ``direction``, ``maxRetry`` is ``retries``,
``timeout`` (ms) is ``timeout_ms``, ``retryDelay`` of the breaker is ``retest_ms``, ``intervalMs`` is
``interval_ms``, ``consumesEvent`` and ``producesEvent`` are ``consumes`` and ``produces``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import ERROR_CODES
from edgehost.domain.names import EVENT, EVENT_PATTERN, EXPORT, MEMBER, NAME
from edgehost.domain.route_path import ROUTE_PATH, read_route_path
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.topic_filter import filter_of, is_filter

#: What a breaker can be about: one class of errors, or all that say that the other side is ill.
BREAKER_CLASSES: Final = ("default", *ERROR_CODES)
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Direction(enum.StrEnum):
    """Who begins."""

    INBOUND = "inbound"  # the world calls the model
    OUTBOUND = "outbound"  # the model calls the world, through an adapter


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a circuit breaker opens, for one class of errors or for all (``default``)."""

    error_rate: float = 0.2  # share of calls within the interval
    call_volume: int = 5  # below this many calls nothing is decided
    interval_ms: int = 9000
    retest_ms: int = 10_000  # from open to half-open
    fallback: str = ""  # export asked instead while the breaker is open; "": the call is refused at once


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One port of a model."""

    direction: Direction
    adapter: str = ""  # outbound: component or built-in adapter it is bound to at first; "": its own name
    service: str = ""  # outbound: service that the adapter is bound to at first
    export: str = ""  # inbound: the guest's export that answers; "": the port's name
    path: str = ""  # inbound over HTTP: below the API root; "": models/<endpoint>/<id>/ports/<port>
    methods: tuple[str, ...] = ("POST",)
    topic: str = ""  # inbound over MQTT
    consumes: str = ""  # event (or pattern) that calls the port
    produces: str = ""  # event published after the port succeeded
    keys: tuple[str, ...] = ()  # members of the answer or event that are taken over into the record
    callback: str = ""  # export that takes the answer instead of ``keys``
    undo: str = ""  # export, or outbound port, that takes the effect back
    timeout_ms: int = 12_000  # 0: only the caller's own deadline
    retries: int = 3  # after the first try
    backoff_ms: int = 200  # base of the full-jitter back-off
    backoff_most_ms: int = 10_000
    breaker: Mapping[str, BreakerRule] = field(default_factory=dict)  # by error code, or "default"
    enabled: bool = True
    description: str = ""


def read_ports(table: SpecReader) -> dict[str, PortSpec]:
    """The ports of a model, by name.

    Raises:
        InvalidSpecificationError: as for every specification; also for keys of the other direction.
    """
    return {port.name: _read_port(port) for port in table.tables(pattern=NAME)}


def _read_port(table: SpecReader) -> PortSpec:
    standard = PortSpec(Direction.OUTBOUND)
    direction = Direction(table.choice("direction", Direction))
    misplaced = (
        ("adapter", "service") if direction is Direction.INBOUND else ("export", "path", "methods", "topic")
    )
    for key in misplaced:
        if table.has(key):
            table.refuse(key, f"has no meaning for an {direction} port.", hint="Drop it.")
    port = PortSpec(
        direction=direction,
        adapter=table.text("adapter", pattern=NAME, default=""),
        service=table.text("service", pattern=NAME, default=""),
        export=table.text("export", pattern=EXPORT, default=""),
        path=table.text("path", pattern=ROUTE_PATH, default="", longest=200),
        methods=table.choices("methods", METHODS) or standard.methods,
        topic=table.text("topic", default="", longest=200),
        consumes=table.text("consumes", pattern=EVENT_PATTERN, default=""),
        produces=table.text("produces", pattern=EVENT, default=""),
        keys=table.texts("keys", pattern=MEMBER),
        callback=table.text("callback", pattern=EXPORT, default=""),
        undo=table.text("undo", pattern=EXPORT, default=""),
        timeout_ms=table.whole("timeout_ms", default=standard.timeout_ms, least=0, most=3_600_000),
        retries=table.whole("retries", default=standard.retries, least=0, most=100),
        backoff_ms=table.whole("backoff_ms", default=standard.backoff_ms, least=0, most=600_000),
        backoff_most_ms=table.whole(
            "backoff_most_ms", default=standard.backoff_most_ms, least=0, most=3_600_000
        ),
        breaker={rule.name: _read_breaker(rule) for rule in table.table("breaker").tables(pattern=NAME)},
        enabled=table.flag("enabled", default=True),
        description=table.text("description", default="", longest=500),
    )
    table.refuse_unknown()
    if ROUTE_PATH.fullmatch(port.path):
        table.require("path", lambda: read_route_path(port.path))
    if port.keys and port.callback:
        table.refuse("keys", "is set beside callback.", hint="The callback takes the answer: drop keys.")
    for error_class in port.breaker:
        if error_class not in BREAKER_CLASSES:
            table.refuse(
                f"breaker.{error_class}",
                "is no class of errors.",
                hint=did_you_mean(error_class, BREAKER_CLASSES),
            )
    if port.topic and not is_filter(filter_of(port.topic)):
        table.refuse("topic", f"is {port.topic[:80]!r}, which cannot be subscribed to.")
    return port


def _read_breaker(table: SpecReader) -> BreakerRule:
    standard = BreakerRule()
    rule = BreakerRule(
        error_rate=table.number("error_rate", default=standard.error_rate, least=0.0, most=1.0),
        call_volume=table.whole("call_volume", default=standard.call_volume, least=1, most=100_000),
        interval_ms=table.whole("interval_ms", default=standard.interval_ms, least=1, most=86_400_000),
        retest_ms=table.whole("retest_ms", default=standard.retest_ms, least=1, most=86_400_000),
        fallback=table.text("fallback", pattern=EXPORT, default=""),
    )
    table.refuse_unknown()
    return rule
