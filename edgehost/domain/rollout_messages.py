"""What hosts and operators say of rollouts, as it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.fleet_messages import LATEST, from_base64, small_table
from edgehost.domain.names import NAME, PUBLIC_KEY
from edgehost.domain.rollout_report import RolloutOrder, RolloutReport, RolloutState
from edgehost.domain.spec_reader import SpecReader

#: Of the SHA-256 by which an answer names its order.
_MARK_DIGITS: Final = 32
_SIGNED_MOST_CHARACTERS: Final = 24 * 1024
#: What a number in JSON holds exactly, everywhere.
MOST_SEQUENCE: Final = 2**53
MOST_WAVE: Final = 10_000


def report_document(report: RolloutReport) -> dict[str, Any]:
    """A host's report on a deployment."""
    return {
        "site": report.site,
        "sequence": report.sequence,
        "digest": report.digest,
        "wave": report.wave,
        **({"waves": report.waves} if report.waves else {}),
        "state": str(report.state),
        "since": report.since,
        "reason": report.reason,
    }


def read_report(payload: bytes, *, host: str, deployment: str) -> RolloutReport:
    """A report from another host; its topic says whose and on what.

    Raises:
        RefusedError: it is none.
    """
    return _report(small_table(payload), host, deployment)


def _report(table: SpecReader, host: str, deployment: str) -> RolloutReport:
    return RolloutReport(
        host=host,
        site=table.text("site", default=""),
        deployment=deployment,
        sequence=table.whole("sequence", least=0, most=MOST_SEQUENCE),
        digest=table.text("digest"),
        wave=table.whole("wave", least=-1, most=MOST_WAVE),
        state=RolloutState(table.choice("state", RolloutState)),
        since=table.number("since", least=0, most=LATEST),
        reason=table.text("reason", default="", longest=4096),
        waves=table.whole("waves", default=0, least=0, most=MOST_WAVE),
    )


def signed_report_map(report: RolloutReport, *, fleet: str) -> dict[str, Any]:
    """What a host signs of its report: all of it, and where it belongs."""
    return {
        "fleet": fleet,
        "host": report.host,
        "deployment": report.deployment,
        **report_document(report),
    }


def read_signed_report(
    document: Mapping[str, Any], *, fleet: str, host: str, deployment: str
) -> RolloutReport:
    """The report in what a host has signed.

    Raises:
        RefusedError: it is none, or one of another host, deployment or fleet.
    """
    table = SpecReader(document, error=RefusedError)
    place = (table.text("fleet"), table.text("host"), table.text("deployment"))
    if place != (fleet, host, deployment):
        raise RefusedError("What is signed is the report of another host, deployment or fleet.")
    return _report(table, host, deployment)


def signature_in(payload: bytes) -> tuple[bytes, bytes] | None:
    """The public key and the signed message of a report; None when it is not signed.

    Raises:
        RefusedError: they cannot be read.
    """
    table = small_table(payload)
    if not table.has("signed"):
        return None
    key = table.text("key", pattern=PUBLIC_KEY)
    return bytes.fromhex(key), from_base64(table.text("signed", longest=_SIGNED_MOST_CHARACTERS))


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """What an operator says to a rollout, before anything is known of who it was."""

    fleet: str
    deployment: str
    sequence: int
    order: RolloutOrder
    wave: int
    issued_at: float


def read_order(document: Mapping[str, Any]) -> SignedOrder:
    """An order from its map.

    Raises:
        RefusedError: it is none.
    """
    table = SpecReader(document, error=RefusedError)
    order = SignedOrder(
        fleet=table.text("fleet", pattern=NAME),
        deployment=table.text("deployment", pattern=NAME),
        sequence=table.whole("sequence", least=0, most=MOST_SEQUENCE),
        order=RolloutOrder(table.choice("order", RolloutOrder)),
        wave=table.whole("wave", default=0, least=0, most=MOST_WAVE),
        issued_at=table.number("issued_at", least=0, most=LATEST),
    )
    table.refuse_unknown()
    return order


def order_document(order: SignedOrder) -> dict[str, Any]:
    """The map that an operator signs."""
    return {
        "fleet": order.fleet,
        "deployment": order.deployment,
        "sequence": order.sequence,
        "order": str(order.order),
        "wave": order.wave,
        "issued_at": order.issued_at,
    }


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What one host says to an order to a rollout."""

    of: str  # the first digits of the SHA-256 of the order as it was published
    obeyed: bool
    reason: str = ""


def answer_document(answer: OrderAnswer) -> dict[str, Any]:
    """For those who listen."""
    return {"of": answer.of, "obeyed": answer.obeyed, "reason": answer.reason}


def read_answer(payload: bytes) -> OrderAnswer:
    """An answer as a host published it.

    Raises:
        RefusedError: it is none.
    """
    table = small_table(payload)
    return OrderAnswer(
        of=table.text("of", longest=_MARK_DIGITS),
        obeyed=table.flag("obeyed", default=False),
        reason=table.text("reason", default="", longest=4096),
    )


def order_mark(payload: bytes) -> str:
    """By which an answer names the order that it is to."""
    return hashlib.sha256(payload).hexdigest()[:_MARK_DIGITS]
