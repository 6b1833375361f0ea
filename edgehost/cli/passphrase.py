"""Passphrases of key files: from $EDGEHOST_PASSPHRASE or a prompt, never from the command line, where ps shows them."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from edgehost.cli.usage import UsageError

VARIABLE: Final = "EDGEHOST_PASSPHRASE"


def new_passphrase(private_file: Path) -> str:
    """The passphrase for a key that is about to be made; "" when its owner wants none."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not sys.stdin.isatty():
        raise UsageError(
            f"a passphrase is needed and nobody can be asked: set ${VARIABLE}, or say --no-passphrase"
        )
    first = getpass.getpass(f"Passphrase for {private_file} (empty: none): ")
    if first and getpass.getpass("Once more: ") != first:
        raise UsageError("the two passphrases differ")
    return first


def known_passphrase(private_file: Path) -> str:
    """The passphrase of a key that has one."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not sys.stdin.isatty():
        raise UsageError(f"{private_file} needs its passphrase and nobody can be asked: set ${VARIABLE}")
    return getpass.getpass(f"Passphrase for {private_file}: ")
