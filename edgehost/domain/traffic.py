"""Which version of a component takes a call, while several are live.

Rule 1: the same key always reaches the same version for as long as the weights stay.
Rule 2: raising a candidate's weight only moves keys of the main release to that candidate; lowering it only
moves keys back. No other key moves.

A key is a point between 0 and 1. One candidate takes the points from 0 up, the other those from 1 down, the main
release what is between them: so the part of each candidate depends on its own weight alone. With a third one
this cannot be had, which is why there are two.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.names import FIELD_PATH

#: Rule 2 holds for two; each has instances of its own, and a small board runs few more than the main release's.
MAX_CANDIDATES: Final = 2
#: A sticky word comes from outside.
MAX_STICKY: Final = 256
DEFAULT_HEADER: Final = "edgehost-sticky"
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_SPREAD: Final = float(1 << 48)
#: What decimal weights may add up to beyond 1.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class StickyKey:
    """What makes calls stay with one version: a request header, the record's id, or a member of its data."""

    kind: str = ""  # "header", "id", "member"; "": nothing, every call is drawn anew
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> StickyKey:
        """Read ``header:NAME``, ``id``, ``member:PATH`` or nothing.

        Raises:
            RefusedError: it is none of these.
        """
        kind, colon, name = text.partition(":")
        if text == "":
            return cls()
        if kind == "id" and not colon:
            return cls("id")
        if kind == "header" and _HEADER.fullmatch(name):
            return cls("header", name.lower())
        if kind == "member" and FIELD_PATH.fullmatch(name):
            return cls("member", name)
        raise RefusedError(
            f"{text[:80]!r} is no sticky key.", hint="Use 'header:NAME', 'id' or 'member:PATH'."
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class Share:
    """What a candidate gets of its component's calls."""

    weight: float  # 0 to 1
    shadow: bool = False  # copies, whose answers are compared and dropped
    auto: bool = False  # promoted or stopped by rule
    sticky: str = ""  # the same for all candidates of a component
    ignore: tuple[str, ...] = ()  # members of an answer that may differ in a shadow
    since: float = 0.0  # unix seconds; the time that it has had to prove itself runs from here
    from_top: bool = False  # its part of the keys ends at 1 instead of starting at 0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Share:
        """The share as ``dataclasses.asdict`` wrote it; members of a later version are left out."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**(known | {"ignore": tuple(known.get("ignore", ()))}))


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """The shares of a component's candidates, by their digests."""

    component: str = ""
    shares: tuple[tuple[str, Share], ...] = ()
    sticky: StickyKey = StickyKey()

    @classmethod
    def of(cls, component: str, shares: Mapping[str, Share]) -> TrafficPlan:
        """The plan for these candidates.

        Raises:
            RefusedError: too many candidates, a weight out of range, more than everything given away, or sticky
                keys that contradict each other.
        """
        if len(shares) > MAX_CANDIDATES:
            raise RefusedError(
                f"'{component}' would have {len(shares)} candidates; {MAX_CANDIDATES} may run beside the main release.",
                hint="Stop one: 'edgehost traffic NAME --stop VERSION'.",
            )
        for share in shares.values():
            require_weight(share.weight)
        split = [share for share in shares.values() if not share.shadow]
        given = sum(share.weight for share in split)
        if given > 1 + _ROUNDING:
            raise RefusedError(
                f"The candidates of '{component}' would get {given:.3g} of the calls; 1 is all of them.",
                hint="Lower a weight.",
            )
        if len({share.from_top for share in split}) < len(split):
            raise RefusedError(f"Two candidates of '{component}' claim the same keys.")
        keys = {share.sticky for share in shares.values()}
        if len(keys) > 1:
            raise RefusedError(
                f"The candidates of '{component}' stick to different keys: {', '.join(sorted(map(repr, keys)))}.",
                hint="One component has one sticky key.",
            )
        return cls(component, tuple(sorted(shares.items())), StickyKey.parse(next(iter(keys), "")))

    def taker(self, key: str) -> str | None:
        """The candidate whose the key is; None: the main release's."""
        point = point_of(self.component, key)
        for candidate, share in self.shares:
            if not share.shadow and (1 - point if share.from_top else point) < share.weight:
                return candidate
        return None

    def shadowed(self, key: str) -> tuple[str, ...]:
        """The candidates that get a copy of the call with this key."""
        return tuple(
            candidate
            for candidate, share in self.shares
            if share.shadow and point_of(candidate, key) < share.weight
        )


def free_end(shares: Iterable[Share]) -> bool:
    """Whether a further candidate takes its keys from the top."""
    return any(not share.from_top for share in shares if not share.shadow)


def require_weight(weight: float) -> float:
    """The weight itself, when it is one.

    Raises:
        RefusedError: it is not within 0 and 1.
    """
    if not 0 <= weight <= 1:
        raise RefusedError(f"The weight {weight:g} is not within 0 and 1.", hint="0.1 is every tenth call.")
    return weight


def point_of(salt: str, key: str) -> float:
    """Where a key stands, above 0 and below 1; the same on every host and in every run."""
    text = key.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=6, key=salt.encode()[:64]).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _SPREAD  # 48 bits and a half are exact in a float


def member_of(document: object, path: str) -> str:
    """The value at a dotted path in a question's data or in its record's, as a word; "" when there is none."""
    value: object = document
    if isinstance(value, Mapping) and "data" not in value:
        value = value.get("record")
    value = value.get("data") if isinstance(value, Mapping) else None
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value[:MAX_STICKY]
    return "" if value is None or isinstance(value, list | Mapping) else repr(value)[:MAX_STICKY]
