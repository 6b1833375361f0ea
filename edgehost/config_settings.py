"""What one configuration key may hold and why it is there; written as the annotation of a dataclass field."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import typing
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from edgehost.domain.spec_reader import SpecReader

_Table = TypeVar("_Table")
#: PATH_MAX on Linux.
_LONGEST_PATH: Final = 4096


@dataclass(frozen=True, slots=True)
class Setting(ABC):
    """One key: ``why`` is the sentence that a new configuration file shows beside it."""

    why: str

    @abstractmethod
    def read(self, table: SpecReader, key: str, default: Any, folder: Path) -> Any:  # noqa: ANN401 - the field's type
        """The value, or a refusal with the key's path; None as default makes the key a must."""


@dataclass(frozen=True, slots=True)
class Text(Setting):
    """A string that matches, unless it is the default."""

    pattern: re.Pattern[str] | None = None

    def read(self, table: SpecReader, key: str, default: str | None, folder: Path) -> str:  # noqa: ARG002 - as in Setting
        """The string."""
        return table.text(key, default=default, pattern=self.pattern)


@dataclass(frozen=True, slots=True)
class Texts(Setting):
    """A list of strings that match."""

    pattern: re.Pattern[str]

    def read(self, table: SpecReader, key: str, default: tuple[str, ...], folder: Path) -> tuple[str, ...]:  # noqa: ARG002 - as in Setting
        """The strings."""
        return table.texts(key, default=default, pattern=self.pattern)


@dataclass(frozen=True, slots=True)
class Choice(Setting):
    """One of the known words."""

    known: tuple[str, ...]

    def read(self, table: SpecReader, key: str, default: str, folder: Path) -> str:  # noqa: ARG002 - as in Setting
        """The word."""
        return table.choice(key, self.known, default=default)


@dataclass(frozen=True, slots=True)
class Whole(Setting):
    """A whole number within bounds."""

    least: int
    most: int

    def read(self, table: SpecReader, key: str, default: int, folder: Path) -> int:  # noqa: ARG002 - as in Setting
        """The number."""
        return table.whole(key, default=default, least=self.least, most=self.most)


@dataclass(frozen=True, slots=True)
class Number(Setting):
    """A number within bounds."""

    least: float
    most: float

    def read(self, table: SpecReader, key: str, default: float, folder: Path) -> float:  # noqa: ARG002 - as in Setting
        """The number."""
        return table.number(key, default=default, least=self.least, most=self.most)


@dataclass(frozen=True, slots=True)
class Flag(Setting):
    """True or false."""

    def read(self, table: SpecReader, key: str, default: bool, folder: Path) -> bool:  # noqa: ARG002, FBT001 - as in Setting
        """The flag."""
        return table.flag(key, default=default)


@dataclass(frozen=True, slots=True)
class FilePath(Setting):
    """A path; a relative one starts at the folder of the configuration file, ``~`` is the user's home."""

    optional: bool = False  # an empty string reads as None

    def read(self, table: SpecReader, key: str, default: Path | None, folder: Path) -> Path | None:
        """The absolute path."""
        text = table.text(key, default="" if self.optional else _text_of(default), longest=_LONGEST_PATH)
        if "\0" in text:
            raise table.refused(key, "holds a zero byte, which no path can.")
        if not text:
            if self.optional:
                return None
            raise table.refused(key, "is empty.", hint="Name a path.")
        return Path(os.path.abspath(folder / Path(text).expanduser()))  # noqa: PTH100 - symbolic links stay


def settings_of(table: type) -> tuple[tuple[dataclasses.Field[Any], Setting], ...]:
    """The keys that a settings dataclass stands for, in order."""
    return _settings_of(table)


@functools.cache  # the annotations are strings until they are evaluated, which is slow
def _settings_of(table: type) -> tuple[tuple[dataclasses.Field[Any], Setting], ...]:
    hints = typing.get_type_hints(table, include_extras=True)
    return tuple(
        (each, mark)
        for each in dataclasses.fields(table)
        for mark in getattr(hints[each.name], "__metadata__", ())
        if isinstance(mark, Setting)
    )


def read_settings(settings: type[_Table], table: SpecReader, folder: Path, **others: object) -> _Table:
    """One table as its dataclass; ``others`` are fields that are no keys. Unknown keys are the caller's to refuse."""
    values = dict(others)
    for each, setting in settings_of(settings):
        default = None if each.default is dataclasses.MISSING else each.default
        values[each.name] = setting.read(table, each.name, default, folder)
    return settings(**values)


def _text_of(path: Path | None) -> str | None:
    return None if path is None else str(path)
