"""A deployment's document: as its author writes it, as it is signed, and as it is read again.

The author writes TOML (``deployment.toml``), what is signed is the same document as canonical JSON with its sequence
in it: keys sorted, no space, so that the same words are the same bytes wherever they are signed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from edgehost.domain.binding import require_binding
from edgehost.domain.deployment import (
    Audience,
    ConfigChange,
    Deployment,
    Gates,
    OnFailure,
    Rollout,
    WantedComponent,
    Window,
)
from edgehost.domain.deployment_order import require_order
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.json_text import read_json
from edgehost.domain.names import EXPORT, NAME, PUBLIC_KEY, worded
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.version_range import VersionRange

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = worded(r"([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day, such as 02:30")
_FIRMWARE: Final = re.compile(r"([a-z][a-z0-9-]{0,62})@(.{1,200})")
_MOST_SEQUENCE: Final = 9_007_199_254_740_991
_MOST_PRIORITY: Final = 1_000_000
#: A configuration value as [components.NAME.config] takes it, cut to what a signed document should carry.
_LONGEST_VALUE: Final = 16_384
_LONGEST_NOTE: Final = 1024
_YEAR_S: Final = 366 * 86_400.0
_MOST_RESTARTS: Final = 1_000_000
_MOST_LATENCY_MS: Final = 600_000.0


def read_author_deployment(text: bytes) -> Mapping[str, Any]:
    """The document in a ``deployment.toml``, checked as hosts will check it.

    Raises:
        InvalidSpecificationError: the message gives the line, or the key with its dotted path.
    """
    try:
        document = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as problem:
        raise InvalidSpecificationError(f"It is no TOML: {problem}.") from None
    if "sequence" in document:
        raise InvalidSpecificationError("sequence is counted by the repository.", hint="Take the key out.")
    read_deployment(document, sequence=1, digest="")
    return document


def signed_bytes(document: Mapping[str, Any], sequence: int) -> bytes:
    """The bytes that are signed of an author's document."""
    whole = {**document, "sequence": sequence}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_signed_deployment(content: bytes, *, name: str, sequence: int) -> Deployment:
    """The deployment in signed bytes, whose length was bounded before they were fetched.

    Raises:
        RefusedError: this host does not understand it, or it is another than it was signed as.
    """
    document = read_json(content)
    if not isinstance(document, dict):
        raise InvalidSpecificationError("A deployment must be a JSON object.")
    inside = document.pop("sequence", None)
    digest = hashlib.sha256(content).hexdigest()
    deployment = read_deployment(document, sequence=sequence, digest=digest)
    if (deployment.name, inside) != (name, sequence):
        raise InvalidSpecificationError(
            f"It was signed as deployment {name} {sequence} and calls itself {deployment.name} {inside}."
        )
    return deployment


def read_deployment(document: Mapping[str, Any], *, sequence: int, digest: str) -> Deployment:
    """The deployment that a document describes.

    Raises:
        InvalidSpecificationError: the message gives the key with its dotted path.
    """
    top = SpecReader(document)
    components = tuple(_read_component(table) for table in top.table("components").tables(pattern=NAME))
    deployment = Deployment(
        name=top.text("name", pattern=NAME),
        sequence=sequence,
        digest=digest,
        components=components,
        hosts=_read_audience(top.table("hosts")),
        rollout=_read_rollout(top.table("rollout")),
        on_failure=OnFailure(top.choice("on_failure", OnFailure, default=OnFailure.ROLL_BACK)),
        priority=top.whole("priority", least=-_MOST_PRIORITY, most=_MOST_PRIORITY, default=0),
        deadline_s=top.number("deadline_s", least=0, most=_YEAR_S, default=0.0),
        firmware=_read_firmware(top),
        note=top.text("note", default="", longest=_LONGEST_NOTE),
    )
    top.refuse_unknown()
    require_order(components)
    if deployment.rollout.all_hosts and deployment.on_failure is not OnFailure.ALL_OR_NONE:
        raise top.refused(
            "rollout.all_hosts",
            "is a transaction of all hosts, so it needs one of all components.",
            hint="Set on_failure = 'all-or-none'.",
        )
    return deployment


def _read_audience(table: SpecReader) -> Audience:
    labels = table.text_map("labels", longest=128)
    for key in ("ids", "classes", "labels"):
        if table.has(key) and not table.anything(key):
            raise table.refused(
                key, "is empty, so it is for no host.", hint="Without the key it is for every host."
            )
    audience = Audience(
        ids=table.texts("ids", pattern=NAME), classes=table.texts("classes", pattern=NAME), labels=labels
    )
    table.refuse_unknown()
    return audience


def _read_component(table: SpecReader) -> WantedComponent:
    present = table.flag("present", default=True)
    text = table.text("version", default="*")
    table.require("version", lambda: VersionRange.parse(text))
    bindings = table.text_map("bindings")
    for what, target in bindings.items():
        table.require("bindings", partial(require_binding, what, target))
    wanted = WantedComponent(
        name=table.name,
        versions=VersionRange.parse(text),
        present=present,
        config=ConfigChange(
            reset=table.texts("reset"), merge=table.text_map("merge", longest=_LONGEST_VALUE)
        ),
        bindings=bindings,
        share=table.number("share", least=0.0, most=1.0, default=0.0),
        after=table.texts("after", pattern=NAME),
    )
    table.refuse_unknown()
    if not present:
        for key in ("version", "reset", "merge", "bindings", "share"):
            if table.has(key):
                raise table.refused(
                    key, "says how it should run, but present is false.", hint="Drop one of them."
                )
    return wanted


def _read_rollout(table: SpecReader) -> Rollout:
    waves = _read_numbers(table, "waves", (1.0,))
    if not waves or waves[-1] != 1.0 or any(not 0 < wave <= 1 for wave in waves):
        raise table.refused(
            "waves", "must be shares of the hosts above 0, the last one 1.", hint="Such as [0.2, 1]."
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(waves)):
        raise table.refused("waves", "must rise: each wave is all hosts up to its share.")
    approve = _read_numbers(table, "approve", ())
    for wave in approve:
        if wave not in range(len(waves)):
            raise table.refused("approve", f"names wave {wave}; there are waves 0 to {len(waves) - 1}.")
    rollout = Rollout(
        waves=waves,
        within=table.text("within", default="", pattern=NAME),
        soak_s=table.number("soak_s", least=0, most=_YEAR_S, default=0.0),
        approve=tuple(map(int, approve)),
        gates=_read_gates(table.table("gates")),
        windows=tuple(_read_window(window) for window in table.table_list("windows")),
        defer_most_s=table.number("defer_most_s", least=0, most=_YEAR_S, default=0.0),
        blind_after_s=table.number("blind_after_s", least=0, most=_YEAR_S, default=0.0),
        all_hosts=table.flag("all_hosts", default=False),
        keys=_read_keys(table.table("keys")),
    )
    table.refuse_unknown()
    return rollout


def _read_keys(table: SpecReader) -> dict[str, str]:
    for host in table.names():
        if not NAME.fullmatch(host):
            raise table.refused(host, "is no name of a host.")
    return {host: table.text(host, pattern=PUBLIC_KEY) for host in table.names()}


def _read_numbers(table: SpecReader, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = table.scalars(key) if table.has(key) else default
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise table.refused(key, "must be a list of numbers.")
    return tuple(values)


def _read_gates(table: SpecReader) -> Gates:
    usual = Gates()
    gates = Gates(
        error_rate=table.number("error_rate", least=0.0, most=1.0, default=usual.error_rate),
        refusal_rate=table.number("refusal_rate", least=0.0, most=1.0, default=usual.refusal_rate),
        calls_min=table.whole("calls_min", least=1, most=_MOST_RESTARTS, default=usual.calls_min),
        latency_ms=table.number("latency_ms", least=0.0, most=_MOST_LATENCY_MS, default=usual.latency_ms),
        restarts=table.whole("restarts", least=0, most=_MOST_RESTARTS, default=usual.restarts),
        check=table.text("check", default="", pattern=EXPORT),
    )
    table.refuse_unknown()
    return gates


def _read_window(table: SpecReader) -> Window:
    window = Window(
        days=table.choices("days", _DAYS) if table.has("days") else (),
        begin=table.text("begin", default="", pattern=_TIME),
        end=table.text("end", default="", pattern=_TIME),
    )
    table.refuse_unknown()
    if bool(window.begin) != bool(window.end):
        raise table.refused("", "needs both begin and end, or neither.")
    if window.begin and window.begin == window.end:
        raise table.refused("", "begins when it ends, so it is never open.")
    if not window.days and not window.begin:
        raise table.refused("", "says nothing, so it is always open.", hint="Drop it.")
    return window


def _read_firmware(top: SpecReader) -> Mapping[str, str]:
    firmware = top.text_map("firmware")
    for device, text in firmware.items():
        match = _FIRMWARE.fullmatch(text)
        if not NAME.fullmatch(device) or match is None:
            raise top.refused(f"firmware.{device[:80]}", "must be NAME@RANGE behind a device's name.")
        top.require(f"firmware.{device}", partial(VersionRange.parse, match[2]))
    return firmware
