"""Modules that a library imports at its top and seldom uses: a stand-in loads them when they are asked for something."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def late_module(name: str, **names: object) -> Iterator[None]:
    """Whoever imports the module within the block has a stand-in for it; whoever does later has the module itself.

    ``names`` are what ``from name import`` finds: asking the stand-in for any other loads the module.
    ``importlib.util.LazyLoader`` would load it at the library's very import statement.
    """
    if name in sys.modules:
        yield
        return
    stand_in = ModuleType(name)

    def from_module(wanted: str) -> Any:  # noqa: ANN401 - whatever the module holds
        if wanted.startswith("__"):  # the import system's own questions
            raise AttributeError(wanted)
        _remove(name, stand_in)
        return getattr(import_module(name), wanted)

    vars(stand_in).update(names, __getattr__=from_module)
    sys.modules[name] = stand_in
    parent, _, own = name.rpartition(".")
    if parent in sys.modules:  # as importing it would do, and will, once it is really imported
        setattr(sys.modules[parent], own, stand_in)
    try:
        yield
    finally:
        _remove(name, stand_in)


def _remove(name: str, stand_in: ModuleType) -> None:
    if sys.modules.get(name) is stand_in:
        del sys.modules[name]
