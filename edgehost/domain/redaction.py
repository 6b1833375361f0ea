"""What may be shown to whoever helps: secrets are taken out by where they stand, what they look like, and what they are.

Files with secrets are never read for this: the configuration names them, and the names stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

REMOVED: Final = "(removed)"
#: A shorter value would take half of the words out of every line.
_LEAST_SECRET: Final = 5
_DEEPEST: Final = 40

_SECRET_KEY: Final = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|credential|authorization|cookie|api_?key|private_?key|username|user)s?$",
    re.IGNORECASE,
)
#: Tables whose values are anybody's: what components and sinks are given.
_OPAQUE_TABLES: Final = frozenset({"config", "given", "headers", "env", "environment"})
#: A list of words: the program may be shown, its arguments are anybody's.
_COMMAND: Final = "command"
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_URL_USER: Final = re.compile(r"(?<=://)[^/@\s\"']+@")
_URL_QUERY: Final = re.compile(r"(://[^\s\"'?#]+)\?[^\s\"'<>]*")
_BEARER: Final = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?P<name>(?<![\w-])[\w-]{0,60}?(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|private[_-]?key|credential|authorization)"
    r"[\w-]{0,60}[\"']?\s{0,9}[:=]\s{0,9})(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}\]]+)",
    re.IGNORECASE,
)
#: JSON Web Tokens.
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FILE_NAME: Final = re.compile(r"_file[\"']?\s*[:=]\s*$", re.IGNORECASE)


class Redactor:
    """Knows some values that must not be shown, besides what looks like a secret."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        long_enough = sorted({each for each in known if len(each) >= _LEAST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, long_enough))) if long_enough else None

    def text(self, text: str) -> str:
        """The text without what looks like a secret, or is known to be one."""
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        text = _PEM.sub(REMOVED, text)
        text = _URL_USER.sub(f"{REMOVED}@", text)
        text = _URL_QUERY.sub(rf"\1?{REMOVED}", text)
        text = _BEARER.sub(rf"\1 {REMOVED}", text)
        text = _JWT.sub(REMOVED, text)
        return _NAMED.sub(_without_value, text)

    def document(self, value: Any, key: str = "", depth: int = 0) -> Any:  # noqa: ANN401 - JSON holds anything
        """The document without values of keys that name secrets, and with every text redacted."""
        if depth > _DEEPEST:
            return REMOVED
        if isinstance(value, Mapping):
            opaque = key in _OPAQUE_TABLES
            return {
                self.text(str(name)): _opaque(inner) if opaque else self.document(inner, str(name), depth + 1)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            if key == _COMMAND:
                return [self.text(str(each)) if index == 0 else REMOVED for index, each in enumerate(value)]
            return [self.document(inner, key, depth + 1) for inner in value]
        if isinstance(value, str):
            return REMOVED if value and _SECRET_KEY.search(key) else self.text(value)
        return value


def opaque_values(document: Mapping[str, Any]) -> list[str]:
    """The texts in a configuration that are anybody's, so that they can be taken out of logs too."""
    found: list[str] = []

    def walk(value: Any, key: str, *, opaque: bool) -> None:  # noqa: ANN401 - as above
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(inner, str(name), opaque=opaque or key in _OPAQUE_TABLES)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, key, opaque=opaque)
        elif isinstance(value, str) and (opaque or _SECRET_KEY.search(key)):
            found.append(value)

    walk(document, "", opaque=False)
    return found


def _opaque(value: Any) -> str:  # noqa: ANN401 - as above
    return f"{REMOVED[:-1]}, {len(str(value))} characters)"


def _without_value(found: re.Match[str]) -> str:
    """``token_file = "x"`` names a file, which may be shown."""
    if _FILE_NAME.search(found["name"]):
        return found[0]
    return f"{found['name']}{REMOVED}"
