"""Run the host in the foreground until SIGTERM or Ctrl-C, which let the calls in flight finish."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_config
from edgehost.cli.output import Output
from edgehost.config import Config

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration file says all."""


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the host; returns when it has stopped."""
    config = host_config(args)
    logging.basicConfig(
        level=config.host.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    from edgehost.host import run_host  # noqa: PLC0415 - the whole host, only for this command

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_asked(run_host, config))
    out.note("edgehost: stopped.")
    return OK


async def _until_asked(run_host: Callable[[Config], Awaitable[None]], config: Config) -> None:
    """The first signal asks the host to stop; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stopping = False

    def stop(task: asyncio.Task[None]) -> None:
        nonlocal stopping
        stopping = True
        for each in _STOP_SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    async def host() -> None:
        await run_host(config)

    task = loop.create_task(host(), name="edgehost.host")
    for each in _STOP_SIGNALS:
        loop.add_signal_handler(each, stop, task)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where it is installed; it has no wheels for 32-bit Arm."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
