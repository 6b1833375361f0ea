"""What remotes need that are read over HTTP, from a repository of a forge, or from sticks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from edgehost.config_settings import Choice, FilePath, Number, Text
from edgehost.domain.names import worded

_URL: Final = worded(
    r"https?://[A-Za-z0-9.:_\[\]-]{1,253}(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,1000})?",
    "an http(s) URL without user, query and fragment",
)
_PROXY: Final = worded(r"|http://[A-Za-z0-9.:_\[\]-]{1,253}", "http://HOST:PORT, or empty")
#: One name of a path, but not one that leads up.
_STEP: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._+@-]{1,100}"
_SPACED_STEP: Final = _STEP.replace("@-", "@ -")
#: GitLab has groups in groups.
_OWNER: Final = worded(rf"{_STEP}(/{_STEP}){{0,20}}", "the name of an owner")
_REPO: Final = worded(_STEP, "the name of a repository")
_REF: Final = worded(rf"{_STEP}(/{_STEP}){{0,20}}", "the name of a branch or tag, or a commit")
_FOLDER: Final = worded(rf"|{_SPACED_STEP}(/{_SPACED_STEP}){{0,20}}", "a path such as dist/fleet, or empty")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
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
class TreeCarrier:
    """What a remote in a folder of a git repository needs, that is read over a forge's API."""

    owner: Annotated[str, Text("who has the repository: a user, an organisation, or groups", _OWNER)]
    repo: Annotated[str, Text("the repository", _REPO)]
    ref: Annotated[str, Text("a branch, a tag or a commit", _REF)] = "main"
    folder: Annotated[
        str, Text("the folder in it that 'edgehost publish' wrote; empty: the top", _FOLDER)
    ] = ""
    forge: Annotated[str, Choice("whose API it is; gitea: Forgejo too", ("github", "gitea", "gitlab"))] = (
        "github"
    )
    api: Annotated[
        str, Text("where the API is, such as https://HOST/api/v1 of Gitea, /api/v4 of GitLab", _URL)
    ] = "https://api.github.com"
    token_file: Annotated[
        Path | None,
        FilePath(
            "file whose first line is a token that may read the contents; GitHub's limit is 60 requests an hour and address without one",
            optional=True,
        ),
    ] = None
    ca_file: Annotated[
        Path | None, FilePath("who signs the server's certificate; empty: the system's list", optional=True)
    ] = None
    proxy: Annotated[str, Text("empty: none, whatever the environment says", _PROXY)] = ""
    look_s: Annotated[
        float, Number("whether the branch has moved is asked this often, in one request", 10, 86_400)
    ] = 300.0


@dataclass(frozen=True, slots=True)
class StickCarrier:
    """What a remote in bundles needs: files that 'edgehost bundle create' made, on a stick or brought by hand."""

    path: Annotated[
        Path, FilePath("where sticks are mounted; looked at two folders deep, and may come and go")
    ] = Path("/media")
    look_s: Annotated[float, Number("looked for new bundles this often; costs a few stats", 0.1, 3600)] = 1.0


def carrier_problem(carrier: object) -> tuple[str, str, str] | None:
    """What contradicts itself in a carrier: key, what is wrong, what to do; None for nothing."""
    if not isinstance(carrier, HttpCarrier | TreeCarrier):
        return None
    url = carrier.url if isinstance(carrier, HttpCarrier) else carrier.api
    secret = "token_file" if carrier.token_file is not None else ""
    if isinstance(carrier, HttpCarrier):
        if carrier.key_file is not None and carrier.cert_file is None:
            return "key_file", "is there without cert_file.", "Name the certificate too."
        if carrier.password_file is not None and not carrier.username:
            return "password_file", "is there without username.", "Name the user too."
        if carrier.username and secret:
            return "username", "is there beside token_file.", "A request carries one of them: drop the other."
        secret = secret or ("username" if carrier.username else "")
    if secret and url.startswith("http://") and urlsplit(url).hostname not in _LOOPBACK:
        return secret, f"would cross the network in clear text to {url}.", "Use https."
    return None
