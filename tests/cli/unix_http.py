"""A small real HTTP server on a Unix socket: the far side of the host client, answering from a table."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Served:
    """What is answered, and what was asked."""

    answers: Mapping[str, tuple[int, str, bytes]]  # "METHOD /path?query" -> status, media type, body
    requests: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = True


@contextmanager
def unix_http(path: Path, answers: Mapping[str, tuple[int, str, bytes]]) -> Iterator[Served]:
    """Serve the table until the block ends."""
    served = Served(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            asked = f"{self.command} {self.path}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            served.requests.append((asked, body, dict(self.headers)))
            status, kind, content = served.answers.get(asked, (404, "text/plain", b"nothing here"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            return

    with _Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
