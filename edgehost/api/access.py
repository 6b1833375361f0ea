"""Who may send requests: the local socket, loopback without a browser behind it, or whoever has the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.api.problems import ForbiddenError, UnauthorizedError
from edgehost.domain.errors import InvalidConfigError

#: Names that a browser can only have resolved to this machine.
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: 32 characters of base64 are 192 bits.
MIN_TOKEN_LENGTH: Final = 32
_MAX_TOKEN_LENGTH: Final = 4096


class AccessPolicy:
    """Without a token: the local socket may do all, loopback may use the models. With one, TCP needs it for all.

    A page in a browser on this machine can reach loopback too. It cannot choose the Host and Origin headers, so
    these tell it apart (DNS rebinding, cross-site request forgery); it does not have the token either.
    """

    def __init__(self, *, token: str = "", allowed_hosts: Iterable[str] = ()) -> None:
        self._token_digest = hashlib.sha256(token.encode()).digest() if token else b""
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}

    @property
    def has_token(self) -> bool:
        """Whether TCP requests need the token."""
        return bool(self._token_digest)

    def require_allowed(self, scope: Mapping[str, Any], *, control: bool) -> None:
        """Check the request's origin; ``control`` is for routes that change or show the host itself.

        Raises:
            UnauthorizedError, ForbiddenError: it may not be sent.
        """
        if is_local_socket(scope):
            return
        if self.has_token:
            self._require_token(scope)
            return
        self._require_loopback_client(scope)
        if control:
            raise ForbiddenError(
                "The host is controlled over its local socket only.",
                hint="Use the 'edgehost' command on this machine, or set [api] token_file and send the token.",
            )

    def _require_token(self, scope: Mapping[str, Any]) -> None:
        values = _values(scope, b"authorization")
        scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        digest = hashlib.sha256(token.strip()).digest()
        if not hmac.compare_digest(digest, self._token_digest) or scheme.lower() != b"bearer":
            raise UnauthorizedError(
                "The request has no valid bearer token." if values else "The request has no bearer token.",
                hint="Send 'Authorization: Bearer TOKEN' with the token from [api] token_file.",
                headers={"www-authenticate": 'Bearer realm="edgehost"'},
            )

    def _require_loopback_client(self, scope: Mapping[str, Any]) -> None:
        hosts = _values(scope, b"host")
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        if _without_port(host) not in self._hosts:
            raise ForbiddenError(
                f"The Host header must name this machine once, not {host[:80]!r}.",
                hint="Use http://127.0.0.1, or add the name to [api] allowed_hosts.",
            )
        for origin in _values(scope, b"origin"):
            if origin.decode("latin-1").lower() != f"{scope.get('scheme', 'http')}://{host}":
                raise ForbiddenError(
                    "The request comes from a page of another origin.",
                    hint="Pages of other origins may not use this host.",
                )


def is_local_socket(scope: Mapping[str, Any]) -> bool:
    """Whether the request came over a Unix socket, which only its owner may open."""
    server = scope.get("server")
    return server is not None and server[1] is None


def require_safe_address(address: str, access: AccessPolicy) -> None:
    """Check that the API may listen at this address.

    Raises:
        InvalidConfigError: the network can reach it and there is no token.
    """
    try:
        loopback = address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise InvalidConfigError(f"api.listen is {address[:80]!r}.", hint="Give an IP address.") from None
    if not loopback and not access.has_token:
        raise InvalidConfigError(
            f"api.listen is {address}, which the network can reach, and there is no token.",
            hint="Set [api] token_file, or listen on 127.0.0.1.",
        )


def read_token_file(path: Path) -> str:
    """The token in a file that only its owner can read.

    Raises:
        InvalidConfigError: others can read it, or it is too short.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = file.read(_MAX_TOKEN_LENGTH + 1)
    except OSError as error:
        raise InvalidConfigError(f"api.token_file {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise InvalidConfigError(
            f"api.token_file {path} has mode {mode:04o}: others can use it.", hint=f"Run 'chmod 600 {path}'."
        )
    token = text.decode("latin-1").strip()
    if (
        not MIN_TOKEN_LENGTH <= len(token) <= _MAX_TOKEN_LENGTH
        or not token.isascii()
        or not token.isprintable()
    ):
        raise InvalidConfigError(
            f"api.token_file {path} must hold {MIN_TOKEN_LENGTH} to {_MAX_TOKEN_LENGTH} printable ASCII characters.",
            hint="Make one with 'openssl rand -base64 32'.",
        )
    return token


def _values(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host
