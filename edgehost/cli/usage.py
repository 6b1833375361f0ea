"""The error of a command line that its parser cannot see to be wrong."""

from __future__ import annotations

import argparse
from typing import Any


class UsageError(Exception):
    """The command line is wrong; the message says where."""


def whole(least: int, most: int) -> Any:  # noqa: ANN401 - what argparse calls
    """What an argument's ``type`` is whose value is a whole number between these two, both included."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not {least} to {most}")
        return value

    number.__name__ = "whole number"
    return number
