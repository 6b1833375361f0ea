"""Run the host in the foreground until SIGTERM or Ctrl-C, which let the calls in flight finish."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import config_path
from edgehost.cli.last_lines import LastLines
from edgehost.cli.output import Output
from edgehost.cli.problems import first_problem
from edgehost.domain.errors import EdgehostError
from remotes.owned_tasks import owned_tasks

if TYPE_CHECKING:
    from edgehost.composition.agent_life import AgentLife

log = logging.getLogger("edgehost.life")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration file says all but the mode."""
    parser.add_argument(
        "--safe",
        action="store_true",
        help="safe mode: components off, control on, until 'edgehost safe-mode off'",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the host; returns when it has stopped."""
    lines = LastLines()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        handlers=[logging.StreamHandler(), lines],
    )
    from edgehost.composition.life_opening import open_life  # noqa: PLC0415 - the whole host, only for this command

    with open_life(config_path(args), safe=args.safe) as life:
        life.host_lines = lines.lines
        logging.getLogger().setLevel(life.config.host.log_level.upper())
        again = _lived(life)
    if again:
        logging.shutdown()
        # In place: whoever supervises this process keeps it, and nothing of the run before stays in memory.
        words = [word for word in sys.orig_argv[1:] if word != "--safe"]
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - itself, without a shell
    out.note("edgehost: stopped.")
    return OK


def _lived(life: AgentLife) -> bool:
    """One run; returns whether another is to follow in this process."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_asked(life))
    except Exception as caught:
        problem = first_problem(caught)
        if life.gives_up_on(problem) or life.does_without(problem):
            life.note_end()
            return True
        if isinstance(problem, EdgehostError):
            life.note_end()
        else:
            life.note_crash(problem)
        raise
    life.note_end()
    return life.restarting


async def _until_asked(life: AgentLife) -> None:
    """The first signal asks the host to stop; a second one ends the process at once. SIGHUP reads the file anew."""
    from edgehost.host import run_host  # noqa: PLC0415 - as above

    loop = asyncio.get_running_loop()
    stopping = False

    def stop(task: asyncio.Task[None]) -> None:
        nonlocal stopping
        stopping = True
        life.restarting = False
        for each in _STOP_SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    async def host() -> None:
        await run_host(life.config, life)

    task = loop.create_task(host(), name="edgehost.host")
    for each in _STOP_SIGNALS:
        loop.add_signal_handler(each, stop, task)
    async with owned_tasks() as spawn:
        loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_read_anew(life), "edgehost.reload"))
        try:
            await task
        except asyncio.CancelledError:
            if not stopping:
                raise
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


async def _read_anew(life: AgentLife) -> None:
    try:
        generation = await life.apply_file()
    except EdgehostError as problem:
        log.error("The configuration file is not taken: %s", problem)  # noqa: TRY400 - a sentence, not a traceback
    else:
        if not life.restarting:
            log.info("The configuration file is generation %d, which runs already.", generation.number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where it is installed; it has no wheels for 32-bit Arm."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
