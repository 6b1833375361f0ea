"""What a database driver raises, as what the host can act on; never with the URL, which holds a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from edgehost.domain.errors import StorageFullError, UnavailableError

_OUT_OF_DISK: Final = 14031
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the driver's errors into ours.

    Raises:
        StorageFullError: the server's disk is full.
        UnavailableError: no server answers, or it refuses.
    """
    from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError  # noqa: PLC0415  an extra

    try:
        yield
    except ConnectionFailure as problem:
        raise UnavailableError(
            f"The database does not answer ({type(problem).__name__}).",
            hint="Try again; what was being written may be stored or not.",
        ) from None
    except OperationFailure as problem:
        raise _refusal(problem.code) from None
    except PyMongoError as problem:
        raise UnavailableError(f"The database driver failed ({type(problem).__name__}).") from None


def _refusal(code: int | None) -> UnavailableError:
    if code == _OUT_OF_DISK:
        return StorageFullError("The database's disk is full; nothing was changed.", hint="Make room there.")
    if code in {_UNAUTHORIZED, _AUTHENTICATION_FAILED}:
        return UnavailableError(
            "The database does not let the host in.", hint="Check user and password in the source's url_file."
        )
    return UnavailableError(f"The database refused, with code {code}.", hint="Its own log says more.")
