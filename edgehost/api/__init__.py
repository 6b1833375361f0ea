"""The ASGI application: generated model routes, events, OpenAPI and host control."""

import http  # noqa: F401 - the stand-in needs its package

from remotes.late_modules import late_module

with late_module("http.client"):  # Starlette takes its table of reasons; MIME comes with it, 0.5 MB
    import starlette.exceptions  # noqa: F401
