"""Tell a story on this machine, in under a minute or two, with a real fleet, real hosts and real kills.

  edgehost demo                 first light: the whole life of a component, on this machine's own readings
  edgehost demo delivery        a drone delivery: a workflow through faults and kills, whole or taken back
  edgehost demo devices         two emulated boards: one is flashed, the other runs components through power cuts

All that a story needs is set up in a folder of its own and taken down again. With --keep it stays until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgehost.cli.command_table import FAILED, OK
from edgehost.cli.output import Output
from edgehost.domain.errors import NotFoundError

if TYPE_CHECKING:
    from edgehost.cli.demo_delivery import DeliveryFigures
    from edgehost.cli.demo_device_figures import DeviceFigures
    from edgehost.cli.demo_figures import DemoFigures

#: The first one is told when none is named.
STORIES: Final = ("first-light", "delivery", "devices")
_LEAST_RELEASES: Final = 5  # below this a median says little


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "story", metavar="STORY", nargs="?", choices=STORIES, default=STORIES[0], help=", ".join(STORIES)
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--broker",
        choices=("mosquitto", "amqtt"),
        help="first-light: default is mosquitto where it is installed",
    )
    parser.add_argument("--folder", metavar="DIR", help="where to work; default: a temporary folder")
    parser.add_argument(
        "--releases",
        metavar="N",
        type=int,
        default=_LEAST_RELEASES,
        help="first-light: timed releases of about 50 KB",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Tell the story; the exit code says whether every promise held."""
    ended: list[DemoFigures | DeliveryFigures | DeviceFigures] = []
    with ExitStack() as stack:
        if args.folder:
            folder = Path(args.folder).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgehost-demo-")))
        if any(folder.iterdir()):
            raise NotFoundError(f"{folder} is not empty.", hint="Name an empty or a new folder.")
        try:
            figures = asyncio.run(_told(folder, args, out, ended))
        except KeyboardInterrupt:
            if not ended:
                raise
            figures = ended[0]  # the story had ended; with --keep this is how one leaves
    out.result(figures.document(), *figures.lines())
    return OK if figures.all_held() else FAILED


async def _told(
    folder: Path,
    args: argparse.Namespace,
    out: Output,
    ended: list[DemoFigures | DeliveryFigures | DeviceFigures],
) -> DemoFigures | DeliveryFigures | DeviceFigures:
    # Each brings the whole host's libraries, only for this command.
    if args.story == "delivery":
        from edgehost.cli.demo_delivery import tell_delivery  # noqa: PLC0415 - see above

        return await tell_delivery(folder, out, keep=args.keep, ended=ended.append)
    if args.story == "devices":
        from edgehost.cli.demo_devices import tell_devices  # noqa: PLC0415 - see above

        return await tell_devices(folder, out, keep=args.keep, ended=ended.append)
    from edgehost.cli.demo_story import tell_story  # noqa: PLC0415 - see above

    return await tell_story(
        folder,
        out,
        broker_kind=args.broker,
        releases=max(args.releases, _LEAST_RELEASES),
        keep=args.keep,
        ended=ended.append,
    )
