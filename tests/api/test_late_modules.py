"""A library that was loaded without what it seldom uses is whole for whoever uses all of it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _says(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import uvicorn, uvicorn.server; print(uvicorn.Server is uvicorn.server.Server)", "True"),
        ("import uvicorn; print(uvicorn.main is not None and callable(uvicorn.run))", "True"),
        ("import uvicorn.main; print(uvicorn.main.run.__module__)", "uvicorn.main"),
        ("import logging.config; print(logging.config.dictConfig.__module__)", "logging.config"),
        ("import logging; print(logging.config.dictConfig.__module__)", "logging.config"),
        ("import starlette.exceptions as found; print(found.HTTPException(404).detail)", "Not Found"),
        ("import http.client; print(http.client.HTTPConnection.__module__)", "http.client"),
        ("import configparser; print(configparser.RawConfigParser.__module__)", "configparser"),
        ("import http.cookies; print(http.cookies.SimpleCookie('a=b')['a'].value)", "b"),
        ("import starlette.requests as found; print(found.cookie_parser('a=b'))", "{'a': 'b'}"),
        ("import lzma; print(lzma.decompress(lzma.compress(b'x')))", "b'x'"),
        ("import bz2; print(bz2.decompress(bz2.compress(b'x')))", "b'x'"),
        (
            "import shutil; print({'bztar', 'xztar'} <= {name for name, _ in shutil.get_archive_formats()})",
            "True",
        ),
    ],
)
def test_whoever_uses_all_of_a_library_beside_the_server_has_it(program: str, said: str) -> None:
    assert _says(f"import edgehost.api.server\n{program}") == said


def test_a_cookie_can_be_set_beside_the_server() -> None:
    program = (
        "import edgehost.api.server, starlette.responses as found\n"
        "answer = found.Response(); answer.set_cookie('a', 'b'); print(answer.headers['set-cookie'])"
    )
    assert _says(program).startswith("a=b")


def test_the_command_line_of_uvicorn_still_runs() -> None:
    program = "import edgehost.api.server, uvicorn\nuvicorn.main(['--version'], standalone_mode=False)"
    assert "uvicorn" in _says(program)


def test_urllib_is_whole_beside_the_mqtt_library() -> None:
    program = (
        "from remotes.lean_mqtt import load_lean; load_lean()\n"
        "import sys, urllib.parse; early = 'urllib.request' in sys.modules\n"
        "print(early, callable(urllib.request.getproxies), 'urllib.request' in sys.modules)"
    )
    assert _says(program) == "False True True"


def test_a_client_without_an_id_is_given_one_beside_the_mqtt_library() -> None:
    program = (
        "from remotes.lean_mqtt import load_lean; load_lean()\n"
        "import sys, paho.mqtt.client as found; early = 'uuid' in sys.modules\n"
        "made = found.Client(found.CallbackAPIVersion.VERSION2, protocol=found.MQTTv31)\n"
        "print(early, len(made._client_id) > 0, 'uuid' in sys.modules)"
    )
    assert _says(program) == "False True True"
