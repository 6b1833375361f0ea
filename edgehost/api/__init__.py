"""The ASGI application: generated model routes, events, OpenAPI and host control."""

import http  # noqa: F401 - the stand-in needs its package

import remotes.lean_shutil  # noqa: F401 - before Starlette imports shutil
from remotes.late_modules import late_module

with late_module("http.client"):  # Starlette takes its table of reasons; MIME comes with it, 0.5 MB
    import starlette.exceptions
with late_module("http.cookies"):  # no answer sets one
    import starlette.responses  # noqa: F401
