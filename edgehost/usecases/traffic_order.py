"""What an operator wants of a component's traffic, as it comes over the control routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.names import FIELD_PATH
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.traffic import MAX_CANDIDATES, Share, StickyKey

_LONGEST_VERSION: Final = 128


@dataclass(frozen=True, slots=True)
class TrafficOrder:
    """One of: shares by version, a version to promote, a version to stop."""

    shares: Mapping[str, Share]
    promote: str = ""
    stop: str = ""


def read_traffic_order(document: Mapping[str, Any]) -> TrafficOrder:
    """The order in a JSON document.

    Raises:
        RefusedError: it cannot be understood, or asks for more than one thing.
    """
    reader = SpecReader(document, error=RefusedError)
    weights = reader.table("shares")
    sticky = str(StickyKey.parse(reader.text("sticky", default="")))
    options: dict[str, Any] = {
        "shadow": reader.flag("shadow", default=False),
        "auto": reader.flag("auto", default=False),
        "sticky": sticky,
        "ignore": reader.texts("ignore", pattern=FIELD_PATH, default=()),
    }
    shares = {
        version: Share(weights.number(version, default=None, least=0.0, most=1.0), **options)
        for version in weights.names()
    }
    promote = reader.text("promote", default="", longest=_LONGEST_VERSION)
    stop = reader.text("stop", default="", longest=_LONGEST_VERSION)
    reader.refuse_unknown()
    if (bool(shares), bool(promote), bool(stop)).count(True) != 1 or len(shares) > MAX_CANDIDATES:
        raise RefusedError(
            f"An order has 'shares' for 1 to {MAX_CANDIDATES} versions, or 'promote', or 'stop'.",
            hint='Send {"shares": {"1.2.0": 0.1}}.',
        )
    return TrafficOrder(shares, promote, stop)
