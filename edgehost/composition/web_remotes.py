"""Remotes that are read over HTTP; imported by hosts that have one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from edgehost.config_carriers import HttpCarrier
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.transport import Source


async def open_http(carrier: HttpCarrier, stack: AsyncExitStack) -> Source:
    """A folder on a web server."""
    options = HttpOptions(
        ca_file=carrier.ca_file,
        cert_file=carrier.cert_file,
        key_file=carrier.key_file,
        token_file=carrier.token_file,
        username=carrier.username,
        password_file=carrier.password_file,
        proxy=carrier.proxy,
    )
    return await stack.enter_async_context(open_http_transport(carrier.url, options, look_s=carrier.look_s))
