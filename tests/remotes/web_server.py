"""A real web server over a folder: nginx, as anybody would set it up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edgehost.adapters.broker.free_port import free_port
from tests.required_tools import require_tool

_CONFIG = """
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log {place}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
  log_format told '$request_method $uri $status $body_bytes_sent $http_range';
  access_log {place}/access.log told;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{
    listen 127.0.0.1:{port}{tls};
    {server}
    location / {{ root {folder}; {location} }}
  }}
}}
"""


@dataclass
class WebServer:
    """Where it is, and what it was asked for."""

    url: str
    place: Path

    def requests(self) -> list[str]:
        """One line each: method, path, status, bytes of the body, range."""
        file = self.place / "access.log"
        return file.read_text().splitlines() if file.exists() else []

    async def logged(self, count: int) -> list[str]:
        """The requests, once there are so many: nginx answers first and writes its log afterwards."""
        async with asyncio.timeout(30):
            while len(lines := self.requests()) < count:
                await asyncio.sleep(0.01)
        return lines


@asynccontextmanager
async def open_nginx(
    folder: Path, *, tls: str = "", server: str = "", location: str = ""
) -> AsyncIterator[WebServer]:
    """nginx serving the folder; ``tls`` is " ssl" and goes with certificates in ``server``."""
    nginx = require_tool("nginx")
    place = folder.parent / f"{folder.name}-nginx"
    place.mkdir()
    port = free_port()
    (place / "nginx.conf").write_text(
        _CONFIG.format(
            place=place,
            user="user root;" if os.getuid() == 0 else "",
            port=port,
            tls=tls,
            server=server,
            folder=folder,
            location=location,
        )
    )
    process = await asyncio.create_subprocess_exec(
        nginx, "-p", str(place), "-e", str(place / "error.log"), "-c", str(place / "nginx.conf"),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _answering(port, process)
        yield WebServer(f"http{'s' if tls else ''}://127.0.0.1:{port}", place)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answering(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return
    raise AssertionError("nginx did not start")
