"""Remotes that are read over HTTP; imported by hosts that have one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from edgehost.config_carriers import HttpCarrier, TreeCarrier
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.transport import Source
from remotes.tree_transport import Tree, open_tree_transport


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


async def open_tree(carrier: TreeCarrier, stack: AsyncExitStack) -> Source:
    """A folder of a git repository on a forge."""
    tree = Tree(
        carrier.owner,
        carrier.repo,
        ref=carrier.ref,
        folder=carrier.folder,
        forge=carrier.forge,
        api=carrier.api,
    )
    options = HttpOptions(token_file=carrier.token_file, ca_file=carrier.ca_file, proxy=carrier.proxy)
    return await stack.enter_async_context(open_tree_transport(tree, options, look_s=carrier.look_s))
