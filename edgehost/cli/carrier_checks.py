"""What ``doctor`` asks of web servers, forges and sticks: the way a host will go, once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.composition.web_remotes import open_http, open_tree
from edgehost.config_carriers import HttpCarrier, StickCarrier, TreeCarrier
from edgehost.domain.errors import EdgehostError
from remotes.bundle_file import SUFFIX
from remotes.stick_transport import StickTransport
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP

#: A server that takes longer than this is too far away for what follows.
_ANSWER_S = 10.0


def check_web(subject: str, carrier: HttpCarrier | TreeCarrier) -> Finding:
    """The server answers, takes the credentials, and has a repository."""
    try:
        address, found = asyncio.run(_timestamp(carrier))
    except TimeoutError:
        return wrong(
            subject, f"no answer within {_ANSWER_S:g} s.", "Check the address, the network and the proxy."
        )
    except EdgehostError as problem:
        return wrong(subject, problem.message, problem.hint or "Check [[remotes]]; what runs keeps running.")
    if not found:
        return wrong(subject, f"{address} holds no repository.", "Publish to it, or check its address.")
    return good(subject, f"{address} holds a repository")


async def _timestamp(carrier: HttpCarrier | TreeCarrier) -> tuple[str, bool]:
    async with asyncio.timeout(_ANSWER_S), AsyncExitStack() as stack:
        opened = open_http(carrier, stack) if isinstance(carrier, HttpCarrier) else open_tree(carrier, stack)
        source = await opened
        return source.address, await source.fetch(TIMESTAMP, most_bytes=METADATA_MOST_BYTES) is not None


def check_stick(subject: str, carrier: StickCarrier) -> Finding:
    """The mount point is there, and what lies in it can be read."""
    if not carrier.path.is_dir():
        return note(
            subject,
            f"there is no folder {carrier.path}: no stick can be seen.",
            "Set path to where sticks are mounted; a service may need the right to see it.",
        )
    bundles = asyncio.run(StickTransport([carrier.path]).rescan())
    broken = [bundle for bundle in bundles if bundle.problem is not None]
    if broken:
        return note(subject, str(broken[0].problem), "See the report beside it.")
    names = ", ".join(bundle.path.name for bundle in bundles) or f"no {SUFFIX} now"
    return good(subject, f"looks for bundles in {carrier.path}: {names}")
