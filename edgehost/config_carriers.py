"""What remotes need that are read over HTTP, from a repository of a forge, or from sticks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_settings import FilePath, Number, Text
from edgehost.domain.names import worded

_URL: Final = worded(
    r"https?://[A-Za-z0-9.:_\[\]-]{1,253}(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,1000})?",
    "an http(s) URL without user, query and fragment",
)
_PROXY: Final = worded(r"|http://[A-Za-z0-9.:_\[\]-]{1,253}", "http://HOST:PORT, or empty")
#: RFC 7617: a colon would end the name.
_USER: Final = worded(r"[\x21-\x39\x3b-\x7e]{0,200}", "printable ASCII without a colon")


@dataclass(frozen=True, slots=True)
class HttpCarrier:
    """What a remote on a web server needs."""

    url: Annotated[str, Text("where the folder that 'edgehost publish' wrote is served", _URL)]
    ca_file: Annotated[
        Path | None, FilePath("who signs the server's certificate; empty: the system's list", optional=True)
    ] = None
    cert_file: Annotated[
        Path | None, FilePath("this host's certificate for servers that want one, PEM", optional=True)
    ] = None
    key_file: Annotated[Path | None, FilePath("the key of cert_file, PEM", optional=True)] = None
    token_file: Annotated[
        Path | None,
        FilePath("file whose first line is a bearer token; read again when it is refused", optional=True),
    ] = None
    username: Annotated[str, Text("for basic authentication; empty: none", _USER)] = ""
    password_file: Annotated[
        Path | None, FilePath("file whose first line is the password of username", optional=True)
    ] = None
    proxy: Annotated[str, Text("empty: none, whatever the environment says", _PROXY)] = ""
    look_s: Annotated[
        float,
        Number(
            "the timestamp is asked for this often; unchanged, it costs a head of some 200 bytes", 1, 86_400
        ),
    ] = 60.0


@dataclass(frozen=True, slots=True)
class StickCarrier:
    """What a remote in bundles needs: files that 'edgehost bundle create' made, on a stick or brought by hand."""

    path: Annotated[
        Path, FilePath("where sticks are mounted; looked at two folders deep, and may come and go")
    ] = Path("/media")
    look_s: Annotated[float, Number("looked for new bundles this often; costs a few stats", 0.1, 3600)] = 1.0
