"""The ASGI application: generated model routes, events, OpenAPI and host control."""

import http  # noqa: F401 - the stand-in needs its package

from remotes.late_modules import late_module

with late_module("bz2"), late_module("lzma"):  # for archives: 0.1 MB, and 0.3 MB of their libraries
    import shutil  # noqa: F401 - by way of Starlette's forms
with late_module("http.client"):  # Starlette takes its table of reasons; MIME comes with it, 0.5 MB
    import starlette.exceptions
with late_module("http.cookies"):  # no answer sets one
    import starlette.responses  # noqa: F401
