"""What ``doctor`` asks of a CoAP server: the way a host will go, once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.composition.coap_remotes import open_coap_remote
from edgehost.config_coap import CoapCarrier
from edgehost.domain.errors import ConflictError, EdgehostError
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP

#: A server that takes longer than this is too far away for what follows.
_ANSWER_S = 10.0


def check_coap(subject: str, name: str, carrier: CoapCarrier) -> Finding:
    """The server answers, takes the credentials, and has the repository."""
    # The finding says it; without a handler the transport's warnings would go to standard error as well.
    logging.getLogger("remotes.coap_transport").addHandler(logging.NullHandler())
    try:
        address, found = asyncio.run(_timestamp(name, carrier))
    except TimeoutError:
        return wrong(subject, f"no answer within {_ANSWER_S:g} s.", "Check [[remotes]] host and port.")
    except ConflictError as problem:
        return note(
            subject, problem.message, "If that is this host: 'edgehost status' says how the remote is."
        )
    except EdgehostError as problem:
        return wrong(subject, problem.message, problem.hint or "Check [[remotes]]; what runs keeps running.")
    if not found:
        return wrong(subject, f"{address} holds no repository.", "Check 'repository', its name there.")
    return good(subject, f"{address} holds a repository")


async def _timestamp(name: str, carrier: CoapCarrier) -> tuple[str, bool]:
    async with asyncio.timeout(_ANSWER_S), AsyncExitStack() as stack:
        source = await open_coap_remote(name, carrier, stack)
        return source.address, await source.fetch(TIMESTAMP, most_bytes=METADATA_MOST_BYTES) is not None
