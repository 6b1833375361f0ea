"""uvicorn's server without its command line: click, its supervisors and what configures logs are 2 MB of a host."""

from __future__ import annotations

import logging  # noqa: F401 - the stand-in for logging.config needs its package
from importlib import import_module
from typing import Any

from remotes.late_modules import late_module


def _run(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as uvicorn's own
    return _command_line().run(*given, **named)


def _main(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as uvicorn's own
    return _command_line().main(*given, **named)


def _command_line() -> Any:  # noqa: ANN401 - a module
    found = import_module("uvicorn.main")
    uvicorn.run, uvicorn.main = found.run, found.main
    return found


with (
    late_module("configparser", RawConfigParser=object),  # uvicorn names it in an annotation
    late_module("logging.config"),
    late_module("uvicorn.main", Server=None, run=_run, main=_main),
):
    import uvicorn
    from uvicorn.config import Config
    from uvicorn.server import Server

uvicorn.Server = Server  # type: ignore[misc]  # whoever embeds a host has the whole library

__all__ = ["Config", "Server"]
