"""Who may send requests: the local socket, loopback without a browser behind it, or whoever has the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.api.problems import ForbiddenError, UnauthorizedError
from edgehost.domain.access_rules import OPERATOR, Caller
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import NAME

#: Names that a browser can only have resolved to this machine.
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: 32 characters of base64 are 192 bits.
MIN_TOKEN_LENGTH: Final = 32
_MAX_TOKEN_LENGTH: Final = 4096
_MAX_FILE_BYTES: Final = 64 * 1024


class AccessPolicy:
    """Without a token: the local socket may do all, loopback may use the models. With one, TCP needs it for all.

    A page in a browser on this machine can reach loopback too. It cannot choose the Host and Origin headers, so
    these tell it apart (DNS rebinding, cross-site request forgery); it does not have the token either.
    """

    def __init__(
        self,
        *,
        token: str = "",
        tokens: Mapping[str, Iterable[str]] | None = None,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        roles = {**(tokens or {}), **({token: ()} if token else {})}
        self._callers = tuple(
            (hashlib.sha256(each.encode()).digest(), Caller(roles=frozenset(names)))
            for each, names in roles.items()
        )
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}

    @property
    def has_token(self) -> bool:
        """Whether TCP requests need the token."""
        return bool(self._callers)

    def require_allowed(self, scope: Mapping[str, Any], *, control: bool) -> Caller:
        """Check the request's origin and say who it is; ``control`` is for routes that change or show the host itself.

        Raises:
            UnauthorizedError, ForbiddenError: it may not be sent.
        """
        if is_local_socket(scope):
            return OPERATOR
        if self.has_token:
            caller = self._require_token(scope)
            if control and not caller.is_operator:
                raise ForbiddenError(
                    "A token with roles does not control the host.", hint="Use the operator's token."
                )
            return caller
        self._require_loopback_client(scope)
        if control:
            raise ForbiddenError(
                "The host is controlled over its local socket only.",
                hint="Use the 'edgehost' command on this machine, or set [api] token_file and send the token.",
            )
        return OPERATOR

    def _require_token(self, scope: Mapping[str, Any]) -> Caller:
        values = _values(scope, b"authorization")
        scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        digest = hashlib.sha256(token.strip()).digest()
        # All are compared, so that the time does not tell how far a guess came.
        found = [caller for known, caller in self._callers if hmac.compare_digest(digest, known)]
        if not found or scheme.lower() != b"bearer":
            raise UnauthorizedError(
                "The request has no valid bearer token." if values else "The request has no bearer token.",
                hint="Send 'Authorization: Bearer TOKEN' with the token from [api] token_file.",
                headers={"www-authenticate": 'Bearer realm="edgehost"'},
            )
        return found[0]

    def _require_loopback_client(self, scope: Mapping[str, Any]) -> None:
        hosts = _values(scope, b"host")
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        if _without_port(host) not in self._hosts:
            raise ForbiddenError(
                f"The Host header must name this machine once, not {host[:80]!r}.",
                hint="Use http://127.0.0.1, or add the name to [api] allowed_hosts.",
            )
        for origin in _values(scope, b"origin"):
            scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
            if origin.decode("latin-1").lower() != f"{scheme}://{host}":
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


def read_token_file(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The tokens in a file that only its owner can read, each with its roles: one a line, ``TOKEN ROLE ROLE``.

    A token without roles is the operator's.

    Raises:
        InvalidConfigError: others can read it, or a line is no token with roles.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidConfigError(f"api.token_file {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise InvalidConfigError(
            f"api.token_file {path} has mode {mode:04o}: others can use it.", hint=f"Run 'chmod 600 {path}'."
        )
    if len(text) > _MAX_FILE_BYTES:
        raise InvalidConfigError(f"api.token_file {path} is larger than {_MAX_FILE_BYTES} bytes.")
    tokens: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.decode("latin-1").splitlines(), 1):
        token, *roles = line.split() or [""]
        if not token or token.startswith("#"):
            continue
        if (
            not MIN_TOKEN_LENGTH <= len(token) <= _MAX_TOKEN_LENGTH
            or not token.isascii()
            or not token.isprintable()
            or token in tokens
        ):
            raise _no_token(path, number)
        for role in roles:
            if not NAME.fullmatch(role):
                raise InvalidConfigError(
                    f"api.token_file {path}, line {number}: what follows the token is no role.",
                    hint="Write roles in lower case behind the token, with blanks between.",
                )
        tokens[token] = tuple(roles)
    if not tokens:
        raise _no_token(path, 1)
    return tokens


def _no_token(path: Path, line: int) -> InvalidConfigError:
    return InvalidConfigError(
        f"api.token_file {path}, line {line}, must hold {MIN_TOKEN_LENGTH} to {_MAX_TOKEN_LENGTH} "
        "printable ASCII characters that no other line holds.",
        hint="Make one with 'openssl rand -base64 32'.",
    )


def _values(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host
