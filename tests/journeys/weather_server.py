"""A weather service over HTTP that can be made slow or ill."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Weather:
    """What the server does next, and what it was asked."""

    temperature: float = 7.5
    status: int = 200
    stuck: threading.Event | None = None  # answers wait for it
    asked: list[str] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def weather_server() -> Iterator[Weather]:
    weather = Weather()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            weather.asked.append(query.get("place", [""])[0])
            weather.came.set()
            if weather.stuck is not None:
                weather.stuck.wait(30)
            body = json.dumps({"temperature": weather.temperature}).encode()
            try:
                self.send_response(weather.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # whoever asked has given up

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    weather.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield weather
    finally:
        if weather.stuck is not None:
            weather.stuck.set()
        server.shutdown()
        thread.join()
        server.server_close()
