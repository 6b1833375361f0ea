"""The driver's client, set so that what it acknowledges is durable and every wait has an end."""

from __future__ import annotations

from typing import Any

from edgehost.domain.errors import InvalidConfigError


def make_client(url: str, timeout_s: float, connections: int) -> Any:  # noqa: ANN401  the type is an extra's
    """A client that has not connected yet.

    Raises:
        InvalidConfigError: the URL is none, or the extra is not installed.
    """
    try:
        from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry  # noqa: PLC0415  an extra
        from bson.int64 import Int64  # noqa: PLC0415
        from pymongo import AsyncMongoClient  # noqa: PLC0415
        from pymongo.errors import ConfigurationError, InvalidURI  # noqa: PLC0415
    except ImportError:
        raise InvalidConfigError(
            "A source of kind 'mongo' needs a driver that is not installed.",
            hint="Install it with: pip install 'edgehost[mongo]'",
        ) from None

    class PlainWhole(TypeDecoder):
        """A 64-bit whole number is a whole number."""

        bson_type = Int64

        def transform_bson(self, value: Int64) -> int:
            return int(value)

    milliseconds = int(timeout_s * 1000)
    options: CodecOptions[dict[str, Any]] = CodecOptions(type_registry=TypeRegistry([PlainWhole()]))
    try:
        return AsyncMongoClient(
            url,
            document_class=dict,
            type_registry=options.type_registry,
            w="majority",
            journal=True,
            retryWrites=True,
            maxPoolSize=connections,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=2 * milliseconds,
            waitQueueTimeoutMS=2 * milliseconds,
            appname="edgehost",
        )
    except (InvalidURI, ConfigurationError, ValueError):
        raise InvalidConfigError(
            "A source's url_file holds no URL of a database.",
            hint="Write one line: mongodb://USER:PASSWORD@HOST:PORT",
        ) from None
