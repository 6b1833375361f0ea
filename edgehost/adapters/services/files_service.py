"""The service ``files``: read, list, write and delete below one folder."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from edgehost.adapters.services.confined_folder import ConfinedFolder
from edgehost.config_services import FilesOptions
from edgehost.domain.errors import NotGrantedError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

_WRITING: Final = frozenset({"write", "delete"})
_LONGEST_PATH: Final = 4096


class FilesService:
    """A Service over a ConfinedFolder; the work is done in threads."""

    functions: Mapping[str, str] = {
        "read": 'a file: {"path", "as"?: "text" (default), "json" or "base64"}',
        "list": 'names in a folder: {"path"?}',
        "write": 'a whole file: {"path", "text" or "json" or "base64"}',
        "delete": 'a file: {"path"}',
    }
    events: Mapping[str, str] = {}

    def __init__(self, name: str, options: FilesOptions) -> None:
        self._name, self._options = name, options
        self._folder = ConfinedFolder(
            options.folder,
            file_bytes=options.file_kib * 1024,
            entries=options.entries,
            total_bytes=options.total_kib * 1024,
        )
        self._writing = asyncio.Lock()

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401, ARG002 - disks answer
        """See ``functions``.

        Raises:
            NotGrantedError: the service is there for reading only.
            NotFoundError, RefusedError, TooLargeError, StorageFullError, UnavailableError.
        """
        if function in _WRITING and not self._options.write:
            raise NotGrantedError(
                f"The service '{self._name}' is for reading only.",
                hint=f"Set write = true in [services.{self._name}].",
            )
        if not isinstance(given, Mapping):
            raise RefusedError(f"The service '{self._name}' wants an object with a path.")
        request = SpecReader(given, error=RefusedError)
        path = request.text("path", default="" if function == "list" else None, longest=_LONGEST_PATH)
        match function:
            case "read":
                form = request.choice("as", ("text", "json", "base64"), default="text")
                request.refuse_unknown()
                return _told(path, await asyncio.to_thread(self._folder.read, path), form)
            case "list":
                request.refuse_unknown()
                return {"entries": await asyncio.to_thread(self._folder.names, path)}
            case "write":
                content = self._content(request)
                request.refuse_unknown()
                async with self._writing:
                    await asyncio.to_thread(self._folder.write, path, content)
                return {"size_bytes": len(content)}
            case _:
                request.refuse_unknown()
                async with self._writing:
                    return {"deleted": await asyncio.to_thread(self._folder.delete, path)}

    def health(self) -> ServiceHealth:
        """Whether the folder is there."""
        trouble = self._folder.trouble()
        if not trouble:
            return ServiceHealth()
        return ServiceHealth("failed", trouble, "Make the folder, and give it to the host's user.")

    def _content(self, request: SpecReader) -> bytes:
        longest = self._options.file_kib * 1024 * 2
        given = [form for form in ("text", "json", "base64") if request.has(form)]
        if len(given) != 1:
            raise RefusedError("Give one of text, json and base64.")
        if given == ["text"]:
            return request.text("text", longest=longest).encode()
        if given == ["json"]:
            return write_json(request.anything("json"))
        try:
            return base64.b64decode(request.text("base64", longest=longest), validate=True)
        except ValueError:
            raise request.refused("base64", "is no base64.") from None


def _told(path: str, content: bytes, form: str) -> dict[str, Any]:
    if form == "base64":
        return {"base64": base64.b64encode(content).decode()}
    try:
        return {"json": read_json(content)} if form == "json" else {"text": content.decode()}
    except UnicodeDecodeError:
        raise RefusedError(f"{path[:200]!r} is no text.", hint='Ask for it with "as": "base64".') from None


@asynccontextmanager
async def open_files_service(
    name: str,
    options: FilesOptions,
    notice: ServiceNotice,  # noqa: ARG001 - it tells nothing by itself
) -> AsyncIterator[Service]:
    """A service; a folder that is not there yet is no error."""
    yield FilesService(name, options)
