"""Reads a nested document strictly: every key is typed, bounded and known, or refused with its path.

The methods are all that a specification is made of: ``spec_schema`` records them as JSON Schema and
``spec_findings`` collects what they refuse, so neither can say anything else than the reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from edgehost.domain.errors import InvalidSpecificationError, RefusedError
from edgehost.domain.names import words_for
from edgehost.domain.suggestion import did_you_mean

_Read = TypeVar("_Read")
_MISSING: Final = object()
#: More would not fit the 64 KiB that an embedded specification may have.
MOST_ITEMS: Final = 1000


class SpecReader:
    """One table of a document; remembers what was asked for, so that the rest can be refused."""

    def __init__(
        self,
        document: Mapping[str, Any],
        path: str = "",
        *,
        error: type[RefusedError] = InvalidSpecificationError,
    ) -> None:
        self._document = document
        self._path = path
        self._asked: set[str] = set()
        self._error = error

    @property
    def name(self) -> str:
        """The last step of the table's path."""
        return self._path.rpartition(".")[2]

    def names(self) -> tuple[str, ...]:
        """The keys that the document has here."""
        return tuple(self._document)

    def has(self, key: str) -> bool:
        """Whether the document has this key; does not count as asking for it."""
        return key in self._document

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
        longest: int = 256,
    ) -> str:
        """A string of at most ``longest`` characters, matching ``pattern`` unless it is the default."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.refused(key, f"must be a string, not {_kind_of(value)}.")
        if len(value) > longest:
            raise self.refused(key, f"is longer than {longest} characters.")
        if pattern is not None and value != default and not pattern.fullmatch(value):
            raise self.refused(key, f"is {value[:80]!r}, which is not {words_for(pattern)}.")
        return value

    def texts(
        self, key: str, *, pattern: re.Pattern[str] | None = None, default: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """A list of strings."""
        value = self._value(key, default)
        if not isinstance(value, list | tuple):
            raise self.refused(key, f"must be a list of strings, not {_kind_of(value)}.")
        if len(value) > MOST_ITEMS:
            raise self.refused(key, f"has more than {MOST_ITEMS} items.")
        for item in value:
            if not isinstance(item, str):
                raise self.refused(key, f"must hold strings only, not {_kind_of(item)}.")
            if pattern is not None and not pattern.fullmatch(item):
                raise self.refused(key, f"holds {item[:80]!r}, which is not {words_for(pattern)}.")
        return tuple(value)

    def choice(self, key: str, known: Iterable[str], *, default: str | None = None) -> str:
        """One of the known words."""
        value = self.text(key, default=default)
        words = [str(word) for word in known]
        if value not in words:
            raise self.refused(key, f"is {value[:80]!r}.", hint=did_you_mean(value, words))
        return value

    def choices(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        """A list of known words."""
        words = [str(word) for word in known]
        values = self.texts(key)
        for value in values:
            if value not in words:
                raise self.refused(key, f"holds {value[:80]!r}.", hint=did_you_mean(value, words))
        return values

    def whole(self, key: str, *, least: int, most: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refused(key, f"must be a whole number, not {_kind_of(value)}.")
        if not least <= value <= most:
            raise self.refused(key, f"is {value}; it must be {least} to {most}.")
        return value

    def number(self, key: str, *, least: float, most: float, default: float | None = None) -> float:
        """A number within bounds."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.refused(key, f"must be a number, not {_kind_of(value)}.")
        if not least <= value <= most:
            raise self.refused(key, f"is {value}; it must be {least} to {most}.")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refused(key, f"must be true or false, not {_kind_of(value)}.")
        return value

    def table(self, key: str) -> SpecReader:
        """A nested table; an absent one reads as empty."""
        value = self._value(key, {})
        if not isinstance(value, Mapping):
            raise self.refused(key, f"must be a table, not {_kind_of(value)}.")
        return self._below(value, key)

    def table_list(self, key: str) -> Iterator[SpecReader]:
        """Every entry of a list of tables; an absent one reads as empty."""
        value = self._value(key, [])
        if not isinstance(value, list | tuple):
            raise self.refused(key, f"must be a list of tables, not {_kind_of(value)}.")
        if len(value) > MOST_ITEMS:
            raise self.refused(key, f"has more than {MOST_ITEMS} items.")
        for index, item in enumerate(value):
            path = f"{key}[{index}]"
            if not isinstance(item, Mapping):
                raise self.refused(path, f"must be a table, not {_kind_of(item)}.")
            yield self._below(item, path)

    def tables(self, *, pattern: re.Pattern[str]) -> Iterator[SpecReader]:
        """Every entry of this table as a table of its own, for tables whose keys are names."""
        for key in self._document:
            if not pattern.fullmatch(str(key)):
                raise self.refused(str(key)[:80], f"is no name: it must be {words_for(pattern)}.")
            yield self.table(key)

    def text_map(
        self, key: str, *, pattern: re.Pattern[str] | None = None, longest: int = 256
    ) -> dict[str, str]:
        """A table of strings whose keys are free."""
        table = self.table(key)
        return {name: table.text(name, pattern=pattern, longest=longest) for name in table.names()}

    def texts_map(self, key: str) -> dict[str, tuple[str, ...]]:
        """A table of lists of strings whose keys are free."""
        table = self.table(key)
        return {name: table.texts(name) for name in table.names()}

    def scalars(self, key: str) -> tuple[Any, ...]:
        """A list of strings, numbers, true, false or null; it must be there."""
        value = self._value(key, None)
        if not isinstance(value, list | tuple) or not all(
            item is None or isinstance(item, str | int | float | bool) for item in value
        ):
            raise self.refused(key, "must be a list of strings, numbers or true and false.")
        if len(value) > MOST_ITEMS:
            raise self.refused(key, f"has more than {MOST_ITEMS} items.")
        return tuple(value)

    def flag_or_table(self, key: str, read: Callable[[SpecReader], _Read]) -> bool | _Read:
        """True, false, or what a table in its place reads as; an absent one is false."""
        if isinstance(self._value(key, False), Mapping):  # noqa: FBT003 - the default
            return read(self.table(key))
        return self.flag(key, default=False)

    def document(self, key: str) -> Mapping[str, Any]:
        """A free-form nested document, such as a JSON Schema."""
        value = self._value(key, {})
        if not isinstance(value, Mapping):
            raise self.refused(key, f"must be a table, not {_kind_of(value)}.")
        return value

    def anything(self, key: str) -> Any:  # noqa: ANN401 - a document holds anything
        """Whatever the document has here; None when there is nothing."""
        self._asked.add(key)
        return self._document.get(key)

    def refuse_unknown(self) -> None:
        """Refuse every key that was never asked for."""
        for key in self._document:
            if key not in self._asked:
                raise self.refused(str(key)[:80], "is unknown.", hint=did_you_mean(str(key), self._asked))

    def refused(self, key: str, what: str, *, hint: str = "") -> RefusedError:
        """The error for this key, with its dotted path in front; without a key, for the table."""
        path = self._at(key) if key else self._path
        error = self._error(f"{path} {what}" if path else what[:1].upper() + what[1:], hint=hint)
        error.path = path
        return error

    def refuse(self, key: str, what: str, *, hint: str = "") -> None:
        """Refuse what is well-formed and yet makes no sense beside the rest of the document."""
        raise self.refused(key, what, hint=hint)

    def require(self, key: str, check: Callable[[], object]) -> bool:
        """Whether the check of a well-formed value passes; what it refuses is refused with the key's path."""
        try:
            check()
        except RefusedError as error:
            self.refuse(key, f"cannot be used: {error.message}", hint=error.hint)
            return False
        return True

    def _below(self, document: Mapping[str, Any], key: str) -> SpecReader:
        return type(self)(document, self._at(key), error=self._error)

    def _value(self, key: str, default: Any) -> Any:  # noqa: ANN401 - a document holds anything
        self._asked.add(key)
        value = self._document.get(key, _MISSING)
        if value is not _MISSING:
            return value
        if default is None:
            raise self.refused(key, "is missing.", hint=f"Add '{key} = ...'.")
        return default

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _kind_of(value: object) -> str:
    names = {
        dict: "a table",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)
