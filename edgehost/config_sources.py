"""[sources.NAME]: where records can be kept beside the host's own journal."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_settings import Choice, FilePath, Number, Text, read_settings
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader

#: Every host has these.
BUILT_IN: Final = ("tinydb", "memory")
_DATABASE: Final = worded(
    r"[A-Za-z0-9_-]{1,63}", "the name of a database: up to 63 letters, digits, '_' and '-'"
)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """[sources.NAME]: a database that models can have their records in."""

    url_file: Annotated[
        Path, FilePath("its first line is the URL with user and password, so that this file holds no secret")
    ]
    name: str = field(default="", kw_only=True)
    kind: Annotated[
        str, Choice("mongo: a MongoDB-compatible server; needs the extra 'mongo'", ("mongo",))
    ] = "mongo"
    database: Annotated[str, Text("on the server; only this host may write to it", _DATABASE)] = "edgehost"
    timeout_s: Annotated[float, Number("for the server to answer; then the call fails", 0.1, 600)] = 5.0


def read_sources(table: SpecReader, folder: Path) -> Mapping[str, SourceSettings]:
    """The sources by name."""
    sources = {}
    for each in table.tables(pattern=NAME):
        if each.name in BUILT_IN:
            raise table.refused(each.name, "is a source that every host has.", hint="Choose another name.")
        sources[each.name] = read_settings(SourceSettings, each, folder, name=each.name)
        each.refuse_unknown()
    return types.MappingProxyType(sources)
