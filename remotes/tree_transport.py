"""A repository in a folder of a git repository on a forge: GitHub, Gitea or Forgejo, GitLab.

A maintainer publishes by pushing: mirror to a folder of a clone ('edgehost publish ... --to clone/FOLDER'), commit,
push. Hosts ask which commit the branch (or tag) is at, and read files of that one commit: they see a push whole or not
at all, and a forge's caches cannot mix two of them. The commit is asked for with If-None-Match; GitHub does not count
the 304 of a request with a token against its limit of 5000 an hour, without one it does, against 60 an hour and address.

Files come from the API where a token is needed to read them; of public repositories on github.com they come from its
raw server, which has no such limit. Limits that are used up are waited for (see remotes.http_files).

Written and tested against the forges' documentation (GitHub REST API 2022-11-28 "commits" and "contents" with the
media types sha and raw, Gitea API v1 "git/commits" and "raw", GitLab API v4 "commits" and "files/raw"), with servers
that behave as documented; no forge itself was asked.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from edgehost.domain.errors import RemoteUnreachableError
from remotes.http_client import HttpClient, open_http_client
from remotes.http_files import ABSENT, HttpFiles
from remotes.http_options import HttpOptions
from remotes.polled_source import Pause, PolledSource, watched
from remotes.transport import TIMESTAMP, require_path

GITHUB: Final = "https://api.github.com"
_GITHUB_RAW: Final = "https://raw.githubusercontent.com/{owner}/{repo}/{commit}/{path}"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
#: A commit's message and list of parents; lists of files are not asked for.
_COMMIT_MOST_BYTES: Final = 262_144
#: GitHub answers 422 for a branch that is not there, and 409 for a repository without a commit.
_NO_COMMIT: Final = ABSENT | {409, 422}
#: A file that is not there is looked for in a newer commit after so long; the timestamp always is.
_PIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Forge:
    """Where a forge's API has what we ask for; names are escaped, ``project`` is owner/repo as one name."""

    commit: str
    file: str
    commit_headers: dict[str, str] = field(default_factory=dict)
    file_headers: dict[str, str] = field(default_factory=dict)
    escapes_paths: bool = False


_GITHUB_VERSION: Final = {"X-GitHub-Api-Version": "2022-11-28"}
FORGES: Final[dict[str, Forge]] = {
    "github": Forge(
        commit="/repos/{owner}/{repo}/commits/{ref}",
        file="/repos/{owner}/{repo}/contents/{path}?ref={commit}",
        commit_headers={"Accept": "application/vnd.github.sha", **_GITHUB_VERSION},
        file_headers={"Accept": "application/vnd.github.raw+json", **_GITHUB_VERSION},
    ),
    "gitea": Forge(
        commit="/repos/{owner}/{repo}/git/commits/{ref}?stat=false&verification=false&files=false",
        file="/repos/{owner}/{repo}/raw/{path}?ref={commit}",
    ),
    "gitlab": Forge(
        commit="/projects/{project}/repository/commits/{ref}?stats=false",
        file="/projects/{project}/repository/files/{path}/raw?ref={commit}",
        escapes_paths=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Tree:
    """Which folder of which git repository."""

    owner: str
    repo: str
    ref: str = "main"  # a branch, a tag or a commit
    folder: str = ""  # "": the top
    forge: str = "github"
    api: str = GITHUB


class TreeTransport(PolledSource):
    """See Source. Open it with open_tree_transport."""

    def __init__(
        self,
        tree: Tree,
        client: HttpClient,
        *,
        raw: tuple[HttpClient, str] | None = None,
        pin_s: float = _PIN_S,
    ) -> None:
        super().__init__()
        self._tree, self._forge = tree, FORGES[tree.forge]
        self._api = HttpFiles(client)
        self._raw = None if raw is None else HttpFiles(raw[0])
        self._raw_url = "" if raw is None else raw[1]
        self._pin_s = pin_s
        self._names = {
            "owner": quote(tree.owner, safe=""),
            "repo": quote(tree.repo, safe=""),
            "project": quote(f"{tree.owner}/{tree.repo}", safe=""),
            "ref": quote(tree.ref, safe=""),
        }
        self._commit = ""
        self._asked_at = 0.0  # by the loop's clock
        self._kept: dict[str, bytes | None] = {}  # of this commit: the timestamp, and what is not there
        self._one_at_a_time = asyncio.Lock()

    @property
    def address(self) -> str:
        """API, repository, branch and folder."""
        tree = self._tree
        place = f"{tree.api.rstrip('/')}/{tree.owner}/{tree.repo}@{tree.ref}"
        return f"{place}:{tree.folder}" if tree.folder else place

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Source."""
        require_path(path)
        async with self.noting_the_link():
            commit = await self._head(anew=path == TIMESTAMP)
        kept = self._kept.get(path, b"")
        if kept != b"" and len(kept or b"") <= most_bytes:
            return kept
        content = await self._file(commit, path, most_bytes)
        if commit == self._commit and (content is None or path == TIMESTAMP):
            self._kept[path] = content
        if path == TIMESTAMP:
            self.note_first(commit)
        return content

    async def look(self) -> object:
        """See PolledSource; another commit is news, whatever it changed."""
        async with self.noting_the_link():
            return await self._head(anew=True)

    async def _head(self, *, anew: bool) -> str:
        """The commit that files are read from."""
        now = asyncio.get_running_loop().time()
        if self._commit and not anew and now - self._asked_at < self._pin_s:
            return self._commit
        async with self._one_at_a_time:
            url = self._tree.api.rstrip("/") + self._forge.commit.format(**self._names)
            content = await self._api.revalidated(
                url, most_bytes=_COMMIT_MOST_BYTES, headers=self._forge.commit_headers, absent=_NO_COMMIT
            )
            commit = _commit_in(content)
            if not commit:
                raise RemoteUnreachableError(
                    f"There is no '{self._tree.ref}' at {self.address}, or it may not be read.",
                    hint="Check owner, repo, ref and api; a private repository needs a token_file that may read its contents.",
                )
            if commit != self._commit:
                self._commit, self._kept = commit, {}
            self._asked_at = now
            return commit

    async def _file(self, commit: str, path: str, most_bytes: int) -> bytes | None:
        whole = "/".join(part for part in (self._tree.folder.strip("/"), path) if part)
        escaped = quote(whole, safe="" if self._forge.escapes_paths else "/")
        names = {**self._names, "path": escaped, "commit": commit}
        if self._raw is not None:
            return await self._raw.lasting(self._raw_url.format(**names), most_bytes=most_bytes)
        url = self._tree.api.rstrip("/") + self._forge.file.format(**names)
        return await self._api.lasting(url, most_bytes=most_bytes, headers=self._forge.file_headers)


def _commit_in(content: bytes | None) -> str:
    """The id of a commit as a forge tells it: alone, or as sha or id of a document; "" for none."""
    text = (content or b"").decode("utf-8", "replace").strip()
    if not _COMMIT.fullmatch(text):
        try:
            document = json.loads(text)
            text = str(document.get("sha") or document.get("id"))
        except (ValueError, AttributeError, RecursionError):
            return ""
    return text if _COMMIT.fullmatch(text) else ""


@asynccontextmanager
async def open_tree_transport(
    tree: Tree,
    options: HttpOptions | None = None,
    *,
    look_s: float = 300.0,
    pause: Pause | None = None,
    pin_s: float = _PIN_S,
) -> AsyncIterator[TreeTransport]:
    """The folder of the git repository; whether its branch has moved is asked every ``look_s`` seconds."""
    options = options or HttpOptions()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_http_client(tree.api, options))
        public = tree.api.rstrip("/") == GITHUB and not options.has_credentials
        raw = None
        if public:
            raw = (await stack.enter_async_context(open_http_client(_GITHUB_RAW, options)), _GITHUB_RAW)
        transport = TreeTransport(tree, client, raw=raw, pin_s=pin_s)
        yield await stack.enter_async_context(
            watched(transport, look_s=look_s, pause=pause, name="edgehost.remote.tree")
        )
