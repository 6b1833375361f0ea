"""The patterns that names keep to, wherever they stand."""

from __future__ import annotations

import re
from typing import Final

#: A DNS label: fits topics, URLs, file names and mDNS.
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
#: A guest's export: printable ASCII.
EXPORT: Final = re.compile(r"[\x21-\x7e]{1,128}")
#: A member of a record's data.
MEMBER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
#: A dotted path into a record's data.
FIELD_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,7}")
#: An event's type, or a pattern of types: ``*`` stands for one step, ``**`` at the end for all that follow.
EVENT: Final = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+){0,7}")
EVENT_PATTERN: Final = re.compile(r"([a-z0-9-]+|\*)(\.([a-z0-9-]+|\*)){0,7}(\.\*\*)?|\*\*")
