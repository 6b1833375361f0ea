"""[components.NAME.traffic]: several versions of a component live at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgehost.config_settings import Flag, Number, Text, Texts, Whole, read_settings
from edgehost.domain.errors import RefusedError
from edgehost.domain.names import FIELD_PATH
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.traffic import Share, StickyKey
from edgehost.domain.version_comparison import WINDOW, ComparisonRule
from edgehost.domain.version_range import VersionRange


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """[components.NAME.traffic]: which releases are tried beside the live one, and when they take over."""

    candidate: Annotated[
        str, Text("versions that get a share first instead of going live, such as '1.2.0'; empty: none")
    ] = ""
    weight: Annotated[
        float,
        Number(
            "share of the calls as the trial begins; 'edgehost traffic' changes it from then on", 0.0, 1.0
        ),
    ] = 0.1
    sticky: Annotated[
        str, Text("what keeps calls with one version: 'header:NAME', 'id', 'member:PATH'; empty: nothing")
    ] = ""
    shadow: Annotated[
        bool, Flag("the candidate gets copies, may change nothing, and its answers are only compared")
    ] = False
    ignore: Annotated[
        tuple[str, ...], Texts("members of answers that may differ in a shadow", FIELD_PATH)
    ] = ()
    auto: Annotated[bool, Flag("promote or stop it by these rules; false: an operator does")] = True
    promote_after_s: Annotated[float, Number("so long it must do well", 0.0, 31_536_000.0)] = 600.0
    min_calls: Annotated[
        int, Whole("of either version; with fewer nothing is decided, for it would be chance", 1, WINDOW)
    ] = 100
    max_error_rate_excess: Annotated[
        float, Number("share of failed calls above the live release's at which it is stopped", 0.0, 1.0)
    ] = 0.02
    max_latency_ratio: Annotated[
        float, Number("to the live release, at the median and the 95th percentile", 1.0, 1000.0)
    ] = 1.5
    max_mismatch_rate: Annotated[float, Number("share of a shadow's answers that may differ", 0.0, 1.0)] = 0.0

    @property
    def share(self) -> Share:
        """What the candidate gets."""
        return Share(self.weight, self.shadow, self.auto, self.sticky, self.ignore)

    @property
    def rule(self) -> ComparisonRule:
        """When it takes over, and when it must go."""
        return ComparisonRule(
            min_calls=self.min_calls,
            max_error_rate_excess=self.max_error_rate_excess,
            max_latency_ratio=self.max_latency_ratio,
            max_mismatch_rate=self.max_mismatch_rate,
            promote_after_s=self.promote_after_s,
        )


def read_traffic(table: SpecReader, folder: Path) -> TrafficSettings:
    """The settings in a component's ``[traffic]`` table.

    Raises:
        InvalidConfigError: a key is unknown or a value cannot be.
    """
    settings = read_settings(TrafficSettings, table, folder)
    table.refuse_unknown()
    for key, read in (("candidate", VersionRange.parse), ("sticky", StickyKey.parse)):
        try:
            read(getattr(settings, key))
        except RefusedError as problem:
            raise table.refused(key, f"is {getattr(settings, key)[:80]!r}.", hint=problem.hint) from None
    return settings
