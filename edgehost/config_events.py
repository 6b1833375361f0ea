"""[events], [[sinks]] and [pipelines]: how far events lead, where they go, and what components make together."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from edgehost.config_settings import FilePath, Text, Texts, Whole, read_settings
from edgehost.domain.names import EVENT_PATTERN, EXPORT, NAME, worded, words_for
from edgehost.domain.spec_reader import SpecReader

#: The sink that every host has; any other ``to`` is a service.
FILE: Final = "file"
#: A pipeline is a few components in a row; each is one more call for every input.
MOST_STEPS: Final = 16
_STEP: Final = worded(rf"{NAME.pattern}\.{EXPORT.pattern}", "COMPONENT.EXPORT")
_PATTERN_OR_NONE: Final = worded(rf"|{EVENT_PATTERN.pattern}", words_for(EVENT_PATTERN))


@dataclass(frozen=True, slots=True)
class EventSettings:
    """[events]: bounds of what happens because something happened."""

    depth: Annotated[
        int, Whole("events that lead to each other; then a circle is cut, and told", 1, 1000)
    ] = 32
    storm: Annotated[
        int, Whole("events that one event may lead to; then a storm is cut, and told", 1, 1_000_000)
    ] = 1000
    notify_per_s: Annotated[
        int,
        Whole(
            "events of its own that one component may publish; more are refused, which is told", 1, 1_000_000
        ),
    ] = 1000
    waiting: Annotated[
        int, Whole("events that wait for handlers, workflows or sinks; then writers wait", 1, 100_000)
    ] = 1024
    remembered: Annotated[
        int, Whole("last events for handlers and listeners that ask for a replay; 0: none", 0, 100_000)
    ] = 256
    remembered_kib: Annotated[int, Whole("of the remembered events together", 1, 1_048_576)] = 1024
    flows: Annotated[
        int, Whole("port histories that are kept; beyond, the oldest finished ones go", 10, 1_000_000)
    ] = 10_000


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """[[sinks]]: events that leave the host."""

    name: Annotated[str, Text("name in events and logs", NAME)]
    to: Annotated[str, Text("'file', or the name of one of [services]", NAME)]
    on: Annotated[str, Text("pattern of the events' names", EVENT_PATTERN)] = "**"
    path: Annotated[
        Path | None, FilePath("file: where; lines of JSON are added, and full files numbered", optional=True)
    ] = None
    file_kib: Annotated[int, Whole("file: size at which the next one begins", 1, 1_048_576)] = 1024
    files: Annotated[int, Whole("file: so many are kept", 1, 1000)] = 4
    function: Annotated[str, Text("service: what is called; empty: its first function")] = ""
    waiting: Annotated[
        int, Whole("events that wait while the sink is away; then the oldest go, which is told", 1, 1_000_000)
    ] = 1024
    where: Mapping[str, Any] = field(default_factory=lambda: types.MappingProxyType({}), kw_only=True)
    given: Mapping[str, Any] = field(default_factory=lambda: types.MappingProxyType({}), kw_only=True)


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """[pipelines.NAME]: components in a row, the answer of each the input of the next."""

    steps: Annotated[tuple[str, ...], Texts("component.export, in order", _STEP)]
    on: Annotated[
        str,
        Text(
            "pattern of events that start it, each as the first input; empty: only when called",
            _PATTERN_OR_NONE,
        ),
    ] = ""
    name: str = field(default="", kw_only=True)
    where: Mapping[str, Any] = field(default_factory=lambda: types.MappingProxyType({}), kw_only=True)


def read_sinks(top: SpecReader, folder: Path) -> tuple[SinkSettings, ...]:
    """The sinks, each with a name of its own."""
    sinks: list[SinkSettings] = []
    for table in top.table_list("sinks"):
        where, given = table.document("where"), table.document("given")
        sink = read_settings(SinkSettings, table, folder, where=where, given=given)
        table.refuse_unknown()
        if sink.name in {each.name for each in sinks}:
            raise table.refused("name", f"is '{sink.name}', as another sink's.", hint="Give each its own.")
        if (sink.to == FILE) != (sink.path is not None):
            raise table.refused(
                "path", "goes with to = 'file', and only with that.", hint="Set both, or neither."
            )
        sinks.append(sink)
    return tuple(sinks)


def read_pipelines(table: SpecReader, folder: Path) -> Mapping[str, PipelineSettings]:
    """The pipelines by name."""
    pipelines = {}
    for each in table.tables(pattern=NAME):
        where = each.document("where")
        pipelines[each.name] = read_settings(PipelineSettings, each, folder, name=each.name, where=where)
        each.refuse_unknown()
        if not pipelines[each.name].steps:
            raise each.refused("steps", "is empty.", hint='Name them: ["component.export", ...].')
        if len(pipelines[each.name].steps) > MOST_STEPS:
            raise each.refused("steps", f"has more than {MOST_STEPS}.", hint="Split it.")
    return types.MappingProxyType(pipelines)
