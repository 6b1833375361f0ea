"""Which regular expressions may be run on input from outside.

Python's engine tries alternatives one after the other, so an expression whose alternatives can start with the
same character may take exponential time. A safe one can be told by its next character alone which way to go
(LL(1)). Outside of loops a few undecided choices are allowed, as long as their product with the length of the
text stays small.

Rule 1: inside a loop every choice is decided by the next character, and a loop's body is never empty.
Rule 2: whatever is not understood here is refused.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

# The only parser that reads an expression exactly as the engine will.
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from edgehost.domain.errors import InvalidSpecificationError

MAX_PATTERN_LENGTH: Final = 512
#: The longest text that a pattern is tried on; see ``MAX_STEPS``.
MAX_TEXT_LENGTH: Final = 1024
#: Steps of the engine at worst; a step takes about 20 ns.
MAX_STEPS: Final = 4_000_000
#: A fixed repetition is unrolled up to this many times.
_MAX_UNROLLED: Final = 64
_MAX_NODES: Final = 20_000

#: Sets of characters are bit masks: one bit for each ASCII character, one for all others together.
_OTHERS: Final = 1 << 128
_ALL: Final = (1 << 129) - 1
_CATEGORIES: Final[dict[Any, str]] = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}


@dataclass(slots=True)
class _Cost:
    """Choices that the next character does not decide."""

    undecided: int = 1  # product of the ways at such choices
    degree: int = 0  # loops whose end is such a choice
    looked_at: int = 0  # nodes; unrolling nested repetitions multiplies them


@dataclass(frozen=True, slots=True)
class PatternCost:
    """What trying a pattern can cost at worst."""

    undecided: int
    degree: int
    reach: int  # how far a match can go, at most MAX_TEXT_LENGTH

    def steps(self, length: int) -> int:
        """Steps of the engine on a text of this length: each of the ways may go as far as a match can."""
        return self.undecided * int(length**self.degree) * min(self.reach, length)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """Why the pattern is not safe."""


def require_safe_pattern(pattern: str) -> None:
    """Check that the expression cannot take long on any text of up to ``MAX_TEXT_LENGTH`` characters.

    Raises:
        InvalidSpecificationError: it is no expression, too long, or could explode.
    """
    pattern_cost(pattern)


@functools.lru_cache(maxsize=256)
def pattern_cost(pattern: str) -> PatternCost:
    """What the expression can cost; raises as ``require_safe_pattern``."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidSpecificationError(
            f"The pattern {pattern[:40]!r}... is longer than {MAX_PATTERN_LENGTH} characters."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a pattern that will mean something else one day
            re.compile(pattern)
            tree = _parser.parse(pattern)
        if tree.state.flags & ~re.UNICODE:
            raise _Refused("it sets flags")  # noqa: TRY301 - one place turns reasons into errors
        cost = _Cost(degree=0 if _anchored(tree) else 1)
        _check(list(tree), 0, cost, in_loop=False)
        reach = min(tree.getwidth()[1], MAX_TEXT_LENGTH)
        result = PatternCost(cost.undecided, cost.degree, reach)
        if result.steps(MAX_TEXT_LENGTH) > MAX_STEPS:
            raise _Refused("too many ways to match the same text")  # noqa: TRY301
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise InvalidSpecificationError(
            f"The pattern {pattern[:80]!r} is no regular expression: {error}."
        ) from None
    except _Refused as reason:
        raise InvalidSpecificationError(
            f"The pattern {pattern[:80]!r} could take very long on some texts: {reason}.",
            hint="Start it with '^', and let the next character decide at every choice, as in '^[a-z]+(-[a-z]+)*$'.",
        ) from None
    return result


def _anchored(tree: Sequence[Any]) -> bool:
    return bool(tree) and tree[0][0] is ops.AT and tree[0][1] in {ops.AT_BEGINNING, ops.AT_BEGINNING_STRING}


def _check(nodes: list[Any], follow: int, cost: _Cost, *, in_loop: bool) -> int:
    """Check a sequence that ``follow`` comes after; returns what it can start with, ``follow`` when empty."""
    for operator, argument in reversed(nodes):
        follow = _check_node(operator, argument, follow, cost, in_loop=in_loop)
    return follow


def _check_node(operator: Any, argument: Any, follow: int, cost: _Cost, *, in_loop: bool) -> int:  # noqa: ANN401 - the parser's own
    cost.looked_at += 1
    if cost.looked_at > _MAX_NODES:
        raise _Refused("it repeats repetitions too often")
    if operator is ops.AT:
        return follow
    if operator in {ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN}:
        return _characters(operator, argument)
    if operator is ops.SUBPATTERN:
        _, add_flags, del_flags, body = argument
        if add_flags or del_flags:
            raise _Refused("it sets flags")
        return _check(list(body), follow, cost, in_loop=in_loop)
    if operator is ops.BRANCH:
        starts = [_check(list(branch), follow, cost, in_loop=in_loop) for branch in argument[1]]
        if not _disjoint(starts):
            _undecided(cost, len(starts), in_loop=in_loop)
        return functools.reduce(int.__or__, starts)
    if operator in {ops.MAX_REPEAT, ops.MIN_REPEAT}:
        least, most, body = argument
        return _check_repeat(least, most, list(body), follow, cost, in_loop=in_loop)
    raise _Refused(f"it uses {str(operator).lower().replace('_', ' ')}")


def _check_repeat(least: int, most: int, body: list[Any], follow: int, cost: _Cost, *, in_loop: bool) -> int:
    if most == 0:
        return follow
    if most > 1 and _parser.SubPattern(_parser.State(), body).getwidth()[0] == 0:
        raise _Refused("it repeats something that may be empty")
    if most == least and most <= _MAX_UNROLLED:
        return _check_unrolled(most, body, follow, cost, in_loop=in_loop)
    if most == 1:
        start = _check(body, follow, cost, in_loop=in_loop)
        if start & follow:
            _undecided(cost, 2, in_loop=in_loop)
        return start | follow
    # What may come after the body is the body again, or what comes after the loop.
    start = _check(body, 0, cost, in_loop=True)
    if not _single(body):
        start = _check(body, start | follow, cost, in_loop=True)
    if start & follow:
        if in_loop:
            raise _Refused("a loop inside a loop can end in two ways")
        cost.degree += 1
    return start if least else start | follow


def _check_unrolled(times: int, body: list[Any], follow: int, cost: _Cost, *, in_loop: bool) -> int:
    for _ in range(times):
        follow = _check(body, follow, cost, in_loop=in_loop)
        if cost.undecided > MAX_STEPS:
            raise _Refused("too many ways to match the same text")
    return follow


def _single(body: list[Any]) -> bool:
    return len(body) == 1 and body[0][0] in {ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN}


def _undecided(cost: _Cost, ways: int, *, in_loop: bool) -> None:
    if in_loop:
        raise _Refused("inside a loop, two ways start with the same character")
    cost.undecided *= ways


def _disjoint(masks: list[int]) -> bool:
    seen = 0
    for mask in masks:
        if seen & mask:
            return False
        seen |= mask
    return True


def _characters(operator: Any, argument: Any) -> int:  # noqa: ANN401 - the parser's own
    if operator is ops.ANY:
        return _ALL
    if operator is ops.LITERAL:
        return _bit(argument)
    if operator is ops.NOT_LITERAL:
        return _complement(_bit(argument))
    mask, negated = 0, False
    for kind, value in argument:
        if kind is ops.NEGATE:
            negated = True
        elif kind is ops.LITERAL:
            mask |= _bit(value)
        elif kind is ops.RANGE:
            mask |= _range(*value)
        elif kind is ops.CATEGORY:
            mask |= _category(value)
        else:
            raise _Refused(f"it uses {str(kind).lower()}")
    return _complement(mask) if negated else mask


def _bit(code: int) -> int:
    return 1 << code if code < 128 else _OTHERS  # noqa: PLR2004 - end of ASCII


def _range(first: int, last: int) -> int:
    ascii_part = functools.reduce(int.__or__, (1 << code for code in range(first, min(last, 127) + 1)), 0)
    return ascii_part | (_OTHERS if last > 127 else 0)  # noqa: PLR2004 - end of ASCII


def _complement(mask: int) -> int:
    return (_ALL & ~mask) | _OTHERS  # some of the others are always left


@functools.cache
def _category(category: Any) -> int:  # noqa: ANN401 - the parser's own
    pattern = _CATEGORIES.get(category)
    if pattern is None:
        raise _Refused(f"it uses {str(category).lower()}")
    return functools.reduce(
        int.__or__, (1 << code for code in range(128) if re.match(pattern, chr(code))), _OTHERS
    )
