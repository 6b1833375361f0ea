"""Forges as their documentation has them: commits of a folder, seen as it is when they are asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.remotes.scripted_web_server import Asked, ScriptedServer, answer, open_scripted_server

TOKEN = "t0ken"


@dataclass
class FakeForge:
    """One repository ``team/things`` with a branch ``main``; private when it has a token."""

    folder: Path
    kind: str = "github"
    token: str = ""
    limit: int = 1 << 30  # requests that count
    counted: int = 0
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    server: ScriptedServer = field(default_factory=ScriptedServer)

    def head(self) -> str:
        """The commit of what is in the folder now."""
        files: dict[str, bytes] = {}
        for kind in ("metadata", "chunk"):
            for file in sorted((self.folder / kind).glob("*")):
                with suppress(FileNotFoundError):  # it is being replaced or removed
                    if not file.name.startswith("."):
                        files[f"{kind}/{file.name}"] = file.read_bytes()
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in files.items():
            digest.update(name.encode() + content)
        commit = digest.hexdigest()
        self.commits[commit] = files
        return commit

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(self.answered(asked))

    def answered(self, asked: Asked) -> bytes:
        authorized = asked.headers.get("authorization") == f"bearer {self.token}"
        if self.token and not authorized:
            return answer(404, b'{"message": "Not Found"}')
        parts = urlsplit(asked.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        head = self.head()
        if path in self.commit_paths():
            if self.kind == "github":
                assert asked.headers["accept"] == "application/vnd.github.sha"
            if asked.headers.get("if-none-match") == f'"{head}"':
                return self.limited(answer(304, b"", f'ETag: "{head}"'), counts=not authorized)
            body = head if self.kind == "github" else json.dumps({"sha": head, "id": head})
            return self.limited(answer(200, body.encode(), f'ETag: "{head}"'))
        if "/commits/" in path:
            return self.limited(answer(422 if self.kind == "github" else 404, b"{}"))
        if path.startswith("/raw/"):  # GitHub's raw server
            commit, _, name = path.removeprefix("/raw/team/things/").partition("/dist/")
            found = self.commits.get(commit, {}).get(name)
            return answer(404) if found is None else answer(200, found)
        if self.kind == "github":
            assert asked.headers["accept"] == "application/vnd.github.raw+json"
        content = None
        for prefix, suffix in self.file_affixes():
            if path.startswith(prefix) and path.endswith(suffix) and "ref" in query:
                name = path.removeprefix(prefix).removesuffix(suffix)
                content = self.commits.get(query["ref"][0], {}).get(name)
        return self.limited(answer(404) if content is None else answer(200, content))

    def commit_paths(self) -> tuple[str, ...]:
        return {
            "github": ("/repos/team/things/commits/main",),
            "gitea": ("/repos/team/things/git/commits/main",),
            "gitlab": ("/projects/team/things/repository/commits/main",),
        }[self.kind]

    def file_affixes(self) -> tuple[tuple[str, str], ...]:
        return {
            "github": (("/repos/team/things/contents/dist/", ""),),
            "gitea": (("/repos/team/things/raw/dist/", ""),),
            "gitlab": (("/projects/team/things/repository/files/dist/", "/raw"),),
        }[self.kind]

    def limited(self, given: bytes, *, counts: bool = True) -> bytes:
        """The answer, or that the limit is used up."""
        self.counted += counts
        if self.counted <= self.limit:
            return given
        return answer(
            403,
            b"{}",
            "Date: Thu, 01 Jan 1970 00:01:00 GMT",
            "X-RateLimit-Remaining: 0",
            "X-RateLimit-Reset: 660",
        )


@asynccontextmanager
async def open_forge(folder: Path, kind: str = "github", token: str = "") -> AsyncIterator[FakeForge]:
    """A forge with the folder's content under ``dist/``."""
    forge = FakeForge(folder, kind, token)
    async with open_scripted_server(forge) as forge.server:
        yield forge
