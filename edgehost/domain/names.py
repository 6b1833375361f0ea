"""The patterns that names keep to, wherever they stand, and what they are called when somebody passes them."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final[dict[str, str]] = {}


def worded(expression: str, what: str) -> re.Pattern[str]:
    """The pattern, with the words that people read instead of it: "must be ..."."""
    _WORDS[expression] = what
    return re.compile(expression)


def words_for(pattern: re.Pattern[str]) -> str:
    """What matches the pattern, in words."""
    return _WORDS.get(pattern.pattern, "in the form that is needed")


#: A DNS label: fits topics, URLs, file names and mDNS.
NAME: Final = worded(
    r"[a-z][a-z0-9-]{0,62}",
    "a DNS label: up to 63 lower-case letters, digits and '-', a letter first",
)
#: What a connection can be made to.
ADDRESS: Final = worded(r"[A-Za-z0-9.:_-]{1,253}", "a host's name or address")
#: An Ed25519 key that may be shown.
PUBLIC_KEY: Final = worded(r"[0-9a-f]{64}", "a public Ed25519 key: 64 lower-case hexadecimal digits")
#: A guest's export: printable ASCII.
EXPORT: Final = worded(
    r"[\x21-\x7e]{1,128}", "the name of an export: up to 128 printable ASCII characters, no space"
)
#: A member of a record's data.
MEMBER: Final = worded(
    r"[A-Za-z_][A-Za-z0-9_-]{0,63}",
    "a member's name: up to 64 letters, digits, '_' and '-', a letter or '_' first",
)
#: A dotted path into a record's data.
FIELD_PATH: Final = worded(
    r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,7}",
    "the path of a field: up to 8 members' names with dots between, such as place.room",
)
#: An event's type, or a pattern of types: ``*`` stands for one step, ``**`` at the end for all that follow.
EVENT: Final = worded(
    r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+){0,7}",
    "an event's name: up to 8 steps of lower-case letters, digits and '-', with dots between",
)
EVENT_PATTERN: Final = worded(
    r"([a-z0-9-]+|\*)(\.([a-z0-9-]+|\*)){0,7}(\.\*\*)?|\*\*",
    "a pattern of events' names: steps with dots between, '*' for any one, '**' at the end for all that follow",
)
