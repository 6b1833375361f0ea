"""Files by URL: asked for again only when they changed, gone on with after a cut, and refusals in plain words."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError
from remotes.http_client import HttpClient
from remotes.http_connection import BrokenOffError, HttpAnswer

#: Statuses that say that there is no such file.
ABSENT: Final = frozenset({404, 410})
#: Less than this is fetched again rather than gone on with: a request and its answer's head are as long.
_WORTH_BYTES: Final = 1024
#: As many files as are on the way at once.
_MOST_PARTS: Final = 4
#: Of one fetch; each must have brought something worth a request, or it ends.
_MOST_TRIES: Final = 4
#: Servers may ask to be left alone; a day of that would be an outage made by a typing error.
_LONGEST_REST_S: Final = 3600.0
_SHORTEST_RATE_REST_S: Final = 60.0
#: A file that was changed less than so long before it was served may be changed again under the same validator:
#: nginx makes it of second and size, and Last-Modified has no more (RFC 9110, 8.8.2.2).
_SETTLED_S: Final = 2.0
_VALIDATOR_MOST_BYTES: Final = 256
_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", re.IGNORECASE)
_DATE: Final = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of a file, and what tells whether it is still the same file."""

    validator: str
    content: bytes


class HttpFiles:
    """GET with a memory: of one small file that is asked for often, and of parts that broke off."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._known: dict[str, tuple[str, str, bytes]] = {}  # URL -> request header, its value, content
        self._parts: OrderedDict[str, Part] = OrderedDict()
        self._rest_until = 0.0  # by the loop's clock
        self._rest_reason = ""

    async def revalidated(
        self,
        url: str,
        *,
        most_bytes: int,
        headers: Mapping[str, str] | None = None,
        absent: frozenset[int] = ABSENT,
    ) -> bytes | None:
        """A file that is asked for often: when it is unchanged, only a head comes back; None: ``absent`` says so.

        Raises:
            TooLargeError, RemoteUnreachableError.
        """
        known = self._known.get(url)
        condition = {known[0]: known[1]} if known is not None else {}
        answer = await self._get(url, {**(headers or {}), **condition}, most_bytes=most_bytes)
        if answer.status == 304 and known is not None:  # noqa: PLR2004 - Not Modified
            if len(known[2]) > most_bytes:
                raise TooLargeError(f"{url} has more than {most_bytes} bytes.")
            return known[2]
        self._known.pop(url, None)
        content = self._content(url, answer, absent=absent)
        if content is not None and (fresh := _condition(answer)) is not None:
            self._known[url] = (*fresh, content)
        return content

    async def lasting(
        self, url: str, *, most_bytes: int, headers: Mapping[str, str] | None = None
    ) -> bytes | None:
        """A file that never changes under its name; a cut costs what had not come yet.

        Raises:
            TooLargeError, RemoteUnreachableError.
        """
        for left in reversed(range(_MOST_TRIES)):
            part = self._parts.get(url)
            going_on = {"Range": f"bytes={len(part.content)}-", "If-Range": part.validator} if part else {}
            have = part.content if part else b""
            try:
                answer = await self._get(url, {**(headers or {}), **going_on}, most_bytes=most_bytes)
            except BrokenOffError as error:
                gained = self._keep(url, have, error.answer, most_bytes)
                if not gained or not left:
                    raise
                continue
            self._parts.pop(url, None)
            if answer.status == 416 and have:  # noqa: PLR2004 - Range Not Satisfiable: begin again
                continue
            if answer.status != 206:  # noqa: PLR2004 - Partial Content
                return self._content(url, answer)
            whole = _joined(url, have, answer, most_bytes)
            if whole is not None:
                return whole
        raise RemoteUnreachableError(f"{url} came in parts that do not fit together.")

    def _keep(self, url: str, have: bytes, answer: HttpAnswer, most_bytes: int) -> bool:
        """Remember what came of a file; whether that was enough to go on at once."""
        begun = have if answer.status == 206 and _starts_at(answer) == len(have) else b""  # noqa: PLR2004
        content = begun + answer.body
        validator = _strong(answer)
        self._parts.pop(url, None)
        if validator and _WORTH_BYTES <= len(content) <= most_bytes:
            self._parts[url] = Part(validator, content)
            while len(self._parts) > _MOST_PARTS:
                self._parts.popitem(last=False)
            return len(content) - len(have) >= _WORTH_BYTES
        return False

    async def _get(self, url: str, headers: Mapping[str, str], *, most_bytes: int) -> HttpAnswer:
        left = self._rest_until - asyncio.get_running_loop().time()
        if left > 0:
            raise RemoteUnreachableError(
                f"{self._rest_reason}; it is left alone for another {left:.0f} s.",
                hint="What runs keeps running.",
            )
        return await self._client.get(url, headers, most_bytes=most_bytes)

    def _content(self, url: str, answer: HttpAnswer, *, absent: frozenset[int] = ABSENT) -> bytes | None:
        """The body, or None, or what the status means in words.

        Raises:
            RemoteUnreachableError.
        """
        status, where = answer.status, url.partition("?")[0]
        if status == 200:  # noqa: PLR2004 - OK
            return answer.body
        if status in absent:
            return None
        rest_s = _rest_s(answer)
        if rest_s is not None:
            self._rest_until = asyncio.get_running_loop().time() + rest_s
            self._rest_reason = f"{where} answered {status}: too many requests, or not now"
            raise RemoteUnreachableError(
                f"{self._rest_reason}; it wants to be left alone for {rest_s:.0f} s.",
                hint="Ask less often (look_s, poll_s), or with a token_file where more is allowed with one.",
            )
        word = "refuses" if status in {401, 403, 407} else "does not serve"
        raise RemoteUnreachableError(f"The server {word} {where} ({status}).", hint=_advice(status))


def _advice(status: int) -> str:
    if status in {401, 407}:
        return "Check token_file, or username and password_file."
    if status == 403:  # noqa: PLR2004 - Forbidden
        return (
            "Check the credentials and what they may read. Storage services also answer 403 for files that are not "
            "there, until whoever reads may list them."
        )
    if status in {206, 304, 416}:
        return "It was not asked for that: is there a broken cache on the way?"
    if status >= 500:  # noqa: PLR2004 - the server's trouble
        return "The server has trouble; it is asked again later."
    return "Check the address."


def _joined(url: str, have: bytes, answer: HttpAnswer, most_bytes: int) -> bytes | None:
    """The whole file; None when the part is not the one that was missing."""
    if not have or _starts_at(answer) != len(have):
        return None
    whole = have + answer.body
    if len(whole) > most_bytes:
        raise TooLargeError(f"{url} has more than {most_bytes} bytes.")
    total = _range(answer)[2]
    return whole if total in ("*", str(len(whole))) else None


def _starts_at(answer: HttpAnswer) -> int:
    return int(_range(answer)[0])


def _range(answer: HttpAnswer) -> tuple[str, str, str]:
    """First, last and total, as they stand there; -1 for what cannot be read."""
    found = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    return (found[1], found[2], found[3]) if found else ("-1", "-1", "-1")


def _condition(answer: HttpAnswer) -> tuple[str, str] | None:
    """The header that asks whether the file is still this one; None when nobody could tell."""
    if not _settled(answer):
        return None
    etag, changed = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    if _is_sendable(etag):
        return ("If-None-Match", etag)
    return ("If-Modified-Since", changed) if _is_sendable(changed) else None


def _is_sendable(validator: str) -> bool:
    """Whether it can be sent back as it came."""
    return 0 < len(validator) <= _VALIDATOR_MOST_BYTES and validator.isascii()


def _settled(answer: HttpAnswer) -> bool:
    changed, date = _moment(answer.headers.get("last-modified")), _moment(answer.headers.get("date"))
    if changed is None:
        return True  # an ETag alone is the server's word
    return date is not None and (date - changed).total_seconds() >= _SETTLED_S


def _strong(answer: HttpAnswer) -> str:
    """What If-Range may carry: a strong ETag (RFC 9110, 13.1.5); "" for none."""
    etag = answer.headers.get("etag", "")
    return etag if _is_sendable(etag) and not etag.startswith("W/") else ""


def _rest_s(answer: HttpAnswer) -> float | None:
    """How long the server wants to be left alone; None when it does not say so."""
    date = _moment(answer.headers.get("date")) or datetime.now(UTC)
    after = answer.headers.get("retry-after", "").strip()
    wanted: float | None = None
    if answer.status not in {403, 429, 503}:
        return None
    if after.isdecimal():
        wanted = float(after[:9])
    elif (moment := _moment(after)) is not None:
        wanted = (moment - date).total_seconds()
    elif answer.headers.get("x-ratelimit-remaining") == "0":
        # Against the server's own clock: ours may be at 1970.
        reset = answer.headers.get("x-ratelimit-reset", "")
        wanted = float(reset[:12]) - date.timestamp() if reset.isdecimal() else _SHORTEST_RATE_REST_S
    elif answer.status == 429:  # noqa: PLR2004 - Too Many Requests
        wanted = _SHORTEST_RATE_REST_S
    return None if wanted is None else min(max(wanted, 1.0), _LONGEST_REST_S)


def _moment(text: str | None) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7, as all servers write it today); None for none, or one of another world."""
    found = _DATE.fullmatch((text or "").strip())
    if found is None:
        return None
    day, month, year, hour, minute, second = found.groups()
    try:
        return datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError:
        return None
