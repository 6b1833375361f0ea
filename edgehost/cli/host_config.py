"""Finds the configuration that a command means."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehost.cli.host_client import HostClient
from edgehost.config import CONFIG_FILE_NAME, Config, load_config


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
    """The client for the host that runs with that configuration."""
    config = host_config(args)
    return HostClient(config.unix_socket, root=config.api.root)
