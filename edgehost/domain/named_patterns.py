"""Values that have a name: e-mail addresses, card numbers and the like. Each check takes time in proportion to the text.

They refuse what cannot be one; that a mailbox or a card exists, no check of the text can tell.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from edgehost.domain.pattern_check import MAX_TEXT_LENGTH

_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAILBOX: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")  # RFC 5321, unquoted
_E164: Final = re.compile(r"\+?[0-9]{7,15}")
_PHONE_LAYOUT: Final = str.maketrans("", "", " -.()/")
_CARD: Final = re.compile(r"[0-9]{12,19}")  # ISO/IEC 7812
_CARD_LAYOUT: Final = str.maketrans("", "", " -")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_URI: Final = re.compile(r"[!#$%&'()*+,/:;=?@\[\]A-Za-z0-9._~-]+")
#: RFC 3339, section 5.6; the values are judged by the library.
_DATE_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.[0-9]{1,9})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_LONGEST_HOSTNAME: Final = 253
_HIGHEST_DIGIT: Final = 9


def _is_email(text: str) -> bool:
    mailbox, at, domain = text.rpartition("@")
    dots_fit = not mailbox.startswith(".") and not mailbox.endswith(".") and ".." not in mailbox
    return bool(at and dots_fit and _MAILBOX.fullmatch(mailbox)) and "." in domain and _is_hostname(domain)


def _is_phone(text: str) -> bool:
    return _E164.fullmatch(text.translate(_PHONE_LAYOUT)) is not None


def _is_ipv4(text: str) -> bool:
    return _is_address(text, ipaddress.IPv4Address)


def _is_ipv6(text: str) -> bool:
    return "%" not in text and _is_address(text, ipaddress.IPv6Address)


def _is_address(text: str, kind: Callable[[str], object]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _is_card(text: str) -> bool:
    digits = text.translate(_CARD_LAYOUT)
    if not _CARD.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):  # Luhn: ISO/IEC 7812-1, annex B
        value = int(digit) * (1 + place % 2)
        total += value - _HIGHEST_DIGIT if value > _HIGHEST_DIGIT else value
    return total % 10 == 0


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _is_hostname(text: str) -> bool:
    if not 0 < len(text) <= _LONGEST_HOSTNAME:
        return False
    return all(_LABEL.fullmatch(label) for label in text.split("."))


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    whole = _URI.fullmatch(text) is not None and _SCHEME.fullmatch(parts.scheme) is not None
    return whole and bool(parts.netloc or parts.path) and (port is None or port > 0)


def _is_date_time(text: str) -> bool:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return False
    seconds = "59" if match[3] == "60" else match[3]  # a leap second is a time too
    try:
        datetime.fromisoformat(f"{match[1]}T{match[2]}{seconds}")
    except ValueError:
        return False
    return True


_CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    "email": _is_email,
    "phone": _is_phone,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "credit-card": _is_card,
    "uuid": _is_uuid,
    "hostname": _is_hostname,
    "uri": _is_uri,
    "date-time": _is_date_time,
}


def fits_pattern(pattern: str, value: object) -> bool:
    """Whether the value is a text that is such a thing as a whole, or that the (safe) expression matches as a whole."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_LENGTH:
        return False
    check = _CHECKS.get(pattern)
    if check is not None:
        return value.isascii() and check(value)
    return re.fullmatch(pattern, value) is not None
