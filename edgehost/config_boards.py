"""[boards]: the microcontrollers that may hang on this machine's lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgehost.config_settings import FilePath


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """[boards]: which boards are known beside those that come with edgehost."""

    folder: Annotated[
        Path | None,
        FilePath(
            "TOML files of boards of your own, which add to ours or replace them; empty: none", optional=True
        ),
    ] = None
