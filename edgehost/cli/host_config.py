"""Finds the configuration that a command means."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehost.cli.output import Output, one_line
from edgehost.config import CONFIG_FILE_NAME, Config, load_config, parse_config, read_config_file
from edgehost.domain.errors import EdgehostError, InvalidConfigError

if TYPE_CHECKING:
    from edgehost.cli.host_client import HostClient


def config_path(args: argparse.Namespace) -> Path:
    """``-c FILE``, else ``$EDGEHOST_CONFIG``, else ``./edgehost.toml``; a folder means the file in it."""
    path = Path(args.config_file or CONFIG_FILE_NAME).expanduser()
    return path / CONFIG_FILE_NAME if path.is_dir() else path


def host_config(args: argparse.Namespace) -> Config:
    """The configuration that the command line names.

    Raises:
        NotFoundError, InvalidConfigError: as for load_config.
    """
    return load_config(config_path(args))


def host_client(args: argparse.Namespace) -> HostClient:
    """The client for the host that runs with that configuration.

    A file that was broken since the host started does not hide it: it runs on its last good one, and people are told.

    Raises:
        NotFoundError: there is no configuration file.
        InvalidConfigError: it is broken, and no host has ever run on it.
    """
    try:
        return _client_of(host_config(args))
    except InvalidConfigError as problem:
        config = last_good_config(config_path(args))
        if config is None:
            raise
        Output(as_json=args.json).note(
            one_line(
                f"edgehost: {problem.message} The host goes by its last good configuration until that is mended."
            )
        )
        return _client_of(config)


def last_good_config(path: Path) -> Config | None:
    """The configuration that a host with a broken file runs on; None when it has none, or there is no file."""
    from edgehost.composition.life_opening import data_folder, generations_in  # noqa: PLC0415 - rarely needed

    path = path.absolute()
    try:
        generations = generations_in(path, data_folder(read_config_file(path), path))
        chosen = generations.known.chosen
        return None if chosen is None else parse_config(generations.text(chosen.number), path)
    except EdgehostError:
        return None


def boards_folder(args: argparse.Namespace) -> Path | None:
    """``[boards] folder`` of the configuration; none where there is no configuration and none was named."""
    if not args.config_file and not config_path(args).exists():
        return None
    return host_config(args).boards.folder


def _client_of(config: Config) -> HostClient:
    from edgehost.cli.host_client import HostClient  # noqa: PLC0415 - HTTP and MIME, which 'run' does not need

    return HostClient(config.unix_socket, root=config.api.root)
