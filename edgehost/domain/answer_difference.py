"""Where two answers differ: paths only, never values, since answers hold what people store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import read_json, same_json

#: What a sample keeps of one pair of answers.
MAX_PATHS: Final = 10
_LONGEST_PATH: Final = 200


def differing_paths(ours: bytes, theirs: bytes, ignore: Iterable[str] = ()) -> tuple[str, ...]:
    """Dotted paths at which the answers differ, the first ten; ``ignore`` names members that may.

    Answers that are no JSON differ as a whole, at the path "".
    """
    if ours == theirs:
        return ()
    try:
        left = read_json(ours) if ours else None
        right = read_json(theirs) if theirs else None
    except RefusedError:
        return ("",)
    ignored = frozenset(ignore)
    found: list[str] = []
    for path in _differences(left, right, "", ignored):
        found.append(path[:_LONGEST_PATH])
        if len(found) == MAX_PATHS:
            break
    return tuple(found)


def _differences(left: Any, right: Any, path: str, ignored: frozenset[str]) -> Iterator[str]:  # noqa: ANN401 - JSON
    if path and path in ignored:
        return
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in dict.fromkeys([*left, *right]):
            below = f"{path}.{name}" if path else name
            if name in left and name in right:
                yield from _differences(left[name], right[name], below, ignored)
            elif below not in ignored:
                yield below
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(one, other, f"{path}.{number}" if path else str(number), ignored)
    elif not same_json(left, right):
        yield path
