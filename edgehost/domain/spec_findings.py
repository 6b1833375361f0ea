"""Everything that is wrong with a specification, found in one reading.

The reader goes on behind each fault with a value that it would have taken, so that one fault does not hide the
next and does not bring others with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from edgehost.domain.component_spec import ComponentSpec, read_tables
from edgehost.domain.errors import InvalidSpecificationError, RefusedError
from edgehost.domain.names import words_for
from edgehost.domain.spec_reader import MOST_ITEMS, SpecReader
from edgehost.domain.suggestion import closest, did_you_mean

_Read = TypeVar("_Read")
#: A person mends a few at a time.
MAX_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One fault: the key's dotted path, what is wrong, and what to do."""

    path: str
    message: str
    hint: str = ""
    structural: bool = True  # a key by itself is wrong; False: it contradicts others


class _Enough(Exception):  # noqa: N818 - never leaves this module
    """There are as many findings as anybody reads."""


def find_faults(document: Mapping[str, Any]) -> tuple[ComponentSpec, tuple[Found, ...]]:
    """The specification as far as it can be read, and all that is wrong with it."""
    reader = _Collecting(document)
    reader.found = found = _Findings()
    try:
        return read_tables(reader), tuple(found.items)
    except _Enough:
        return _NOTHING, tuple(found.items)


class _Findings:
    def __init__(self) -> None:
        self.items: list[Found] = []

    def add(self, error: RefusedError, *, structural: bool) -> None:
        if any(each.path == error.path for each in self.items):
            return  # what follows from the first fault of a key is no news
        self.items.append(Found(error.path, error.message, error.hint, structural))
        if len(self.items) >= MAX_FINDINGS:
            raise _Enough


class _Collecting(SpecReader):
    """Notes what the strict reader refuses."""

    found: _Findings

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
        longest: int = 256,
    ) -> str:
        return self._tried(
            lambda: super(_Collecting, self).text(key, default=default, pattern=pattern, longest=longest),
            default or "",
        )

    def texts(
        self, key: str, *, pattern: re.Pattern[str] | None = None, default: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        return self._tried(
            lambda: super(_Collecting, self).texts(key, pattern=pattern, default=default), default
        )

    def choice(self, key: str, known: Iterable[str], *, default: str | None = None) -> str:
        words = [str(word) for word in known]
        value = self._document.get(key)
        close = closest(value, words) if isinstance(value, str) else None
        self._asked.add(key)
        strict = SpecReader(self._document, self._path, error=self._error)
        fallback = close or default or words[0]
        return self._tried(lambda: strict.choice(key, words, default=default), fallback)

    def choices(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        words = tuple(str(word) for word in known)
        return self._tried(lambda: super(_Collecting, self).choices(key, words), ())

    def whole(self, key: str, *, least: int, most: int, default: int | None = None) -> int:
        return self._tried(
            lambda: super(_Collecting, self).whole(key, least=least, most=most, default=default),
            least if default is None else default,
        )

    def number(self, key: str, *, least: float, most: float, default: float | None = None) -> float:
        return self._tried(
            lambda: super(_Collecting, self).number(key, least=least, most=most, default=default),
            least if default is None else default,
        )

    def flag(self, key: str, *, default: bool) -> bool:
        return self._tried(lambda: super(_Collecting, self).flag(key, default=default), default)

    def scalars(self, key: str) -> tuple[Any, ...]:
        return self._tried(lambda: super(_Collecting, self).scalars(key), (True,))

    def flag_or_table(self, key: str, read: Callable[[SpecReader], _Read]) -> bool | _Read:
        try:
            return super().flag_or_table(key, read)
        except RefusedError as error:
            self._note(error)
            return False

    def table(self, key: str) -> SpecReader:
        return self._tried(lambda: super(_Collecting, self).table(key), self._below({}, key))

    def table_list(self, key: str) -> Iterator[SpecReader]:
        value = self._value(key, [])
        if not isinstance(value, list | tuple) or len(value) > MOST_ITEMS:
            self._note(self.refused(key, f"must be a list of at most {MOST_ITEMS} tables."))
            return
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield self._below(item, f"{key}[{index}]")
            else:
                self._note(self.refused(f"{key}[{index}]", "must be a table."))

    def tables(self, *, pattern: re.Pattern[str]) -> Iterator[SpecReader]:
        for key in self._document:
            if not pattern.fullmatch(str(key)):
                self._note(self.refused(str(key)[:80], f"is no name: it must be {words_for(pattern)}."))
            elif isinstance(self._document[key], Mapping):
                yield self.table(key)
            else:
                self.table(key)

    def document(self, key: str) -> Mapping[str, Any]:
        return self._tried(lambda: super(_Collecting, self).document(key), {})

    def refuse_unknown(self) -> None:
        for key in self._document:
            if key not in self._asked:
                hint = did_you_mean(str(key), self._asked)
                self._note(self.refused(str(key)[:80], "is unknown.", hint=hint))

    def refuse(self, key: str, what: str, *, hint: str = "") -> None:
        self.found.add(self.refused(key, what, hint=hint), structural=False)

    def _below(self, document: Mapping[str, Any], key: str) -> SpecReader:
        below = _Collecting(document, self._at(key), error=self._error)
        below.found = self.found
        return below

    def _tried(self, read: Callable[[], _Read], fallback: _Read) -> _Read:
        try:
            return read()
        except RefusedError as error:
            self._note(error)
            return fallback

    def _note(self, error: RefusedError) -> None:
        self.found.add(error, structural=True)


_NOTHING: Final = read_tables(
    SpecReader(
        {"name": "unknown", "version": "0.0.0", "kind": "service", "service": {}},
        error=InvalidSpecificationError,
    )
)
