"""[[certificates]]: certificates of this host that it renews before they end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from edgehost.config_settings import Choice, FilePath, Flag, Number, Text, Texts, Whole, read_settings
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader

EST, EXEC = "est", "exec"
_WORD: Final = worded(r"[^\0]{1,4096}", "a word of a command")
_COMMON_NAME: Final = worded(r"[^\0-\x1f]{0,64}", "up to 64 characters on one line")
_USER: Final = worded(r"[\x21-\x39\x3b-\x7e]{0,128}", "printable ASCII without ':'")
_PROXY: Final = worded(r"|http://[A-Za-z0-9.:_\[\]-]{1,253}", "http://HOST:PORT, or empty")
#: Each has a task of its own.
_MOST_CERTIFICATES: Final = 16
_MOST_WORDS: Final = 64
#: Keys that belong to one method.
_EST_KEYS: Final = ("url", "ca_file", "username", "password_file", "proxy")
_EXEC_KEYS: Final = ("command", "timeout_s")


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """[[certificates]]: certificates of this host that it renews before they end."""

    name: Annotated[str, Text("name in status, events and logs", NAME)]
    cert_file: Annotated[
        Path,
        FilePath(
            "as in [fleet], [[remotes]] or [upstream.NAME], whose connections are made anew with it, or in [shelf], "
            "which shows it from then on; becomes a link into the data folder, replaced together with its key"
        ),
    ]
    key_file: Annotated[Path, FilePath("the key of cert_file; becomes a link as well")]
    method: Annotated[
        str, Choice("est: a server that speaks RFC 7030; exec: a program of yours", (EST, EXEC))
    ] = EST
    url: Annotated[str, Text("est: https://HOST[:PORT], and a path where it has another one")] = ""
    ca_file: Annotated[
        Path | None,
        FilePath("est: who signs the server's certificate; empty: the system's list", optional=True),
    ] = None
    username: Annotated[
        str,
        Text(
            "est: with password_file, for when no certificate holds: the first one, or after it ended", _USER
        ),
    ] = ""
    password_file: Annotated[
        Path | None, FilePath("est: file whose first line is the password", optional=True)
    ] = None
    proxy: Annotated[str, Text("est: empty: none, whatever the environment says", _PROXY)] = ""
    command: Annotated[
        tuple[str, ...],
        Texts(
            "exec: program and arguments, no shell, no secrets; PKCS#10 on its standard input, PEM on its output",
            _WORD,
        ),
    ] = ()
    timeout_s: Annotated[float, Number("exec: then it is ended", 1, 3600)] = 120.0
    issuer_file: Annotated[
        Path | None,
        FilePath(
            "authorities that a new certificate must lead to; empty: key and dates alone are checked",
            optional=True,
        ),
    ] = None
    renew_at: Annotated[
        float, Number("renewed after this share of its life, and up to a twentieth later by chance", 0.1, 0.9)
    ] = 0.67
    new_key: Annotated[bool, Flag("a renewed certificate has a new key of the same kind")] = True
    tries_a_day: Annotated[
        int, Whole("the authority is asked no more often; also by a host that crashes", 1, 48)
    ] = 6
    common_name: Annotated[
        str,
        Text(
            "subject of the first request; empty: the host's name. A renewal keeps subject and names",
            _COMMON_NAME,
        ),
    ] = ""


def read_certificates(top: SpecReader, folder: Path) -> tuple[CertificateSettings, ...]:
    """The tables.

    Raises:
        InvalidConfigError: one contradicts itself, or another.
    """
    found: list[CertificateSettings] = []
    for table in top.table_list("certificates"):
        each = read_settings(CertificateSettings, table, folder)
        table.refuse_unknown()
        _require_whole(table, each)
        if each.name in {other.name for other in found}:
            raise table.refused("name", f"is '{each.name}', as another's.", hint="Give each its own.")
        taken = {path for other in found for path in (other.cert_file, other.key_file)}
        if {each.cert_file, each.key_file} & taken or each.cert_file == each.key_file:
            raise table.refused(
                "cert_file", "or key_file is another's too.", hint="Each certificate and key has a file."
            )
        found.append(each)
    if len(found) > _MOST_CERTIFICATES:
        raise InvalidConfigError(
            f"There are {len(found)} [[certificates]]; {_MOST_CERTIFICATES} are possible."
        )
    return tuple(found)


def require_shown(
    certificates: tuple[CertificateSettings, ...], shown: Iterable[tuple[str, Path | None, Path | None]]
) -> None:
    """Refuse certificates that are shown with another key; ``shown``: name of the key, certificate file, key file.

    Raises:
        InvalidConfigError: the connection would be left with a key that does not fit.
    """
    known = tuple(shown)
    for index, each in enumerate(certificates):
        keys = {where: key for where, file, key in known if file == each.cert_file}
        for where, key in keys.items():
            if key != each.key_file:
                raise InvalidConfigError(
                    f"certificates[{index}].key_file is {each.key_file}, and {where} is {key or 'not set'}.",
                    hint="Name the same file.",
                )


def _require_whole(table: SpecReader, each: CertificateSettings) -> None:
    """Refuse keys that would do nothing, and a method without what it needs."""
    others = _EXEC_KEYS if each.method == EST else _EST_KEYS
    for key in others:
        if getattr(each, key) != CertificateSettings.__dataclass_fields__[key].default:
            raise table.refused(key, f"has no meaning with method = '{each.method}'.", hint="Drop it.")
    if each.method == EXEC:
        if not each.command or len(each.command) > _MOST_WORDS:
            raise table.refused("command", f"has {len(each.command)} words.", hint="Name a program.")
        if "/" in each.command[0] and not each.command[0].startswith("/"):
            raise table.refused(
                "command",
                "begins with a path that depends on where the host runs.",
                hint="Give the whole path.",
            )
        return
    if not _is_est_url(each.url):
        raise table.refused(
            "url",
            "is no address of an EST server: https, without credentials and query.",
            hint="Such as https://est.example.org",
        )
    if bool(each.username) != (each.password_file is not None):
        raise table.refused("username", "goes with password_file.", hint="Set both, or neither.")


def _is_est_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and has_port
        and "@" not in parts.netloc
        and not parts.query
        and not parts.fragment
    )
