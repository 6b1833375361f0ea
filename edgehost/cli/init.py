"""Write a commented edgehost.toml: every key with its default and its reason. Overwrites nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehost.cli.config_template import config_template
from edgehost.cli.output import Output
from edgehost.config import CONFIG_FILE_NAME, load_config
from edgehost.domain.errors import ConflictError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="default: here")


def run(args: argparse.Namespace, out: Output) -> int:
    """Write the file."""
    folder = Path(args.folder).expanduser()
    path = folder / CONFIG_FILE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config_template())
    except FileExistsError:
        raise ConflictError(
            f"{path} exists and is left as it is.", hint="Move it away, or name another folder."
        ) from None
    config = load_config(path)
    out.result(
        {
            "config_file": str(config.path),
            "data": str(config.host.data),
            "unix_socket": str(config.unix_socket),
        },
        f"Wrote {path}.",
        "Next: name a remote in it ([[remotes]]), then 'edgehost run' in that folder; 'edgehost doctor' checks both.",
    )
    return 0
