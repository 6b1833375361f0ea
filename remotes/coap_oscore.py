"""OSCORE (RFC 8613) for requests and answers: end-to-end protection where there is no TLS.

The library's own site wrapper needs a compiled EDHOC engine that 32-bit Arm has no wheel for, and lets requests
without protection pass. A security context is a folder in the library's format: ``settings.json`` with the ids,
``secret.json`` with the secret, and ``sequence.json``, which it writes. A context has one user at a time, and no copy
of it may ever be used.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiocoap
from aiocoap.numbers.codes import Code

from edgehost.domain.errors import ConflictError, InvalidConfigError, UnavailableError
from edgehost.domain.names import NAME
from remotes.durable_file import read_bounded

#: RFC 8613 section 3.3: 7 bytes at most with the standard algorithm; 3 make clashes among a fleet unlikely.
_ID_BYTES: Final = 3
_SERVER_ID: Final = b""
_SECRET_BYTES: Final = 16
_MOST_CONTEXTS: Final = 256  # each holds a file open, its lock
_MOST_FILE_BYTES: Final = 4096
_NO_PROTECTION: Final = "the answer is not protected"

Send = Callable[[aiocoap.Message, bool], None]


class Refused(Exception):  # noqa: N818 - not a fault but an answer
    """The request is answered with this instead."""

    def __init__(self, answer: aiocoap.Message) -> None:
        super().__init__(str(answer.code))
        self.answer = answer


class UnprotectedError(Exception):
    """An answer that does not hold."""


def load_context(folder: Path) -> Any:  # noqa: ANN401 - a class of the library's
    """The security context in the folder, locked for this process.

    Raises:
        InvalidConfigError: there is none, or it is damaged.
        ConflictError: it is in use.
    """
    try:
        import filelock  # noqa: PLC0415 - only for those who configure OSCORE
        from aiocoap import oscore  # noqa: PLC0415 - brings cryptography, about 7 MB
    except ImportError as error:
        raise UnavailableError(
            f"OSCORE needs the package {error.name}.", hint="pip install 'edgehost[oscore]'"
        ) from error
    if not (folder / "secret.json").is_file():
        raise InvalidConfigError(
            f"{folder} holds no OSCORE security context.",
            hint="'edgehost remote oscore' makes one for a client and one for the server.",
        )
    _require_sound(folder)
    try:
        return oscore.FilesystemSecurityContext(str(folder))
    except filelock.Timeout:
        raise ConflictError(
            f"The OSCORE context {folder} is in use by another process.", hint="Give each client its own."
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InvalidConfigError(
            f"The OSCORE context {folder} cannot be used: {error}.", hint="Make a new one for both sides."
        ) from error


def _require_sound(folder: Path) -> None:
    """Look at the files first: the library locks a context that it then cannot load, and fails again in letting go."""
    needed = {"secret.json": "secret_hex", "settings.json": "sender-id_hex", "sequence.json": "next-to-send"}
    for name, key in needed.items():
        if name == "sequence.json" and not (folder / name).exists():
            continue  # it was never used
        content = read_bounded(folder / name, _MOST_FILE_BYTES)
        try:
            document = json.loads(content or b"")
            if name != "sequence.json":
                bytes.fromhex(document[key])
            document[key]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidConfigError(
                f"The OSCORE context {folder} cannot be used: {name} is damaged.",
                hint="Make a new context for both sides; its numbers must never be used twice.",
            ) from None


def release_context(context: Any) -> None:  # noqa: ANN401
    """Write what must be remembered and give the folder back."""
    if context.lockfile is not None:
        context._destroy()  # noqa: SLF001 - the library leaves it to the garbage collector


class OscoreServer:
    """The contexts of all clients that may read."""

    def __init__(self, folder: Path) -> None:
        self._contexts: list[Any] = []
        try:
            places = sorted(place for place in folder.iterdir() if (place / "secret.json").is_file())
        except OSError as error:
            raise InvalidConfigError(
                f"{folder} cannot be read: {error.strerror}.", hint="It holds one folder for each client."
            ) from error
        if not 0 < len(places) <= _MOST_CONTEXTS:
            raise InvalidConfigError(
                f"{folder} holds {len(places)} OSCORE contexts; 1 to {_MOST_CONTEXTS} are possible.",
                hint="'edgehost remote oscore' adds a client.",
            )
        try:
            for place in places:
                self._contexts.append(load_context(place))
        except BaseException:
            self.close()
            raise

    def unprotected(self, request: aiocoap.Message, send: Send) -> tuple[aiocoap.Message, Send]:
        """The request as its client wrote it, and the protected way back.

        Raises:
            Refused: it is nobody's, was changed on the way, or was seen before.
        """
        from aiocoap import error, oscore  # noqa: PLC0415 - see load_context

        if request.code not in {Code.POST, Code.FETCH}:
            raise Refused(aiocoap.Message(code=Code.METHOD_NOT_ALLOWED))
        try:
            unprotected = oscore.verify_start(request)
            context = next(
                (found for each in self._contexts if (found := each.get_oscore_context_for(unprotected))),
                None,
            )
            if context is None:
                raise Refused(_plain(Code.UNAUTHORIZED, "Security context not found"))
            inner, request_id = context.unprotect(request)
        except oscore.ReplayErrorWithEcho as asked_again:
            raise Refused(asked_again.to_message()) from None
        except oscore.ReplayError:
            raise Refused(_plain(Code.UNAUTHORIZED, "Replay detected")) from None
        except oscore.ProtectionInvalid:
            raise Refused(_plain(Code.BAD_REQUEST, "Decryption failed")) from None
        except (error.Error, ValueError, IndexError):
            raise Refused(_plain(Code.BAD_OPTION, "Failed to decode COSE")) from None
        inner.remote = request.remote

        def protected(message: aiocoap.Message, last: bool) -> None:  # noqa: FBT001
            number = message.opt.observe
            outer, _ = context.protect(message, request_id)
            if number is not None:
                outer.opt.observe = context.sender_sequence_number & 0xFFFFFF
            send(outer, last)

        return inner, protected

    def close(self) -> None:
        """Give the folders back."""
        for context in self._contexts:
            release_context(context)
        self._contexts.clear()


class OscoreClient:
    """A client's context."""

    def __init__(self, folder: Path) -> None:
        self._context = load_context(folder)

    def protect(self, message: aiocoap.Message) -> tuple[aiocoap.Message, Any]:
        """What goes over the wire, and what its answers must belong to."""
        outer, request_id = self._context.protect(message)
        outer.remote = message.remote
        return outer, request_id

    def unprotect(self, answer: aiocoap.Message, request_id: Any) -> aiocoap.Message:  # noqa: ANN401
        """The answer as the server wrote it.

        Raises:
            UnprotectedError: it is not protected, or not by the server.
        """
        from aiocoap import oscore  # noqa: PLC0415 - see load_context

        if answer.opt.oscore is None:
            said = answer.payload[:80].decode("utf-8", "replace")
            raise UnprotectedError(f"{_NO_PROTECTION} ({answer.code} {said})".rstrip())
        try:
            inner, _ = self._context.unprotect(answer, request_id)
        except (oscore.ProtectionInvalid, ValueError, IndexError) as error:
            raise UnprotectedError(f"the answer does not hold ({type(error).__name__})") from None
        inner.remote = answer.remote
        return inner

    def close(self) -> None:
        """Give the folder back."""
        release_context(self._context)


def make_contexts(server_folder: Path, client: str, client_folder: Path) -> None:
    """A new secret, in the client's folder and in the server's folder of that client.

    Raises:
        ConflictError: one of them exists; a context must never be used twice.
        InvalidConfigError: the name cannot be one, or a folder cannot be written.
    """
    if not NAME.fullmatch(client):
        raise InvalidConfigError(f"{client[:80]!r} is no name for a client.", hint="Such as 'gateway-7'.")
    places = (server_folder / client, client_folder)
    for place in places:
        if place.exists():
            raise ConflictError(f"{place} exists.", hint="Remove it on both sides to replace the context.")
    client_id, secret = secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_SECRET_BYTES)
    for place, ids in zip(places, ((_SERVER_ID, client_id), (client_id, _SERVER_ID)), strict=True):
        try:
            place.mkdir(parents=True, mode=0o700)
            settings = {"sender-id_hex": ids[0].hex(), "recipient-id_hex": ids[1].hex()}
            (place / "settings.json").write_text(json.dumps(settings))
            descriptor = os.open(place / "secret.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"secret_hex": secret.hex()}, file)
        except OSError as error:
            raise InvalidConfigError(f"{place} cannot be written: {error.strerror}.") from error


def _plain(code: Code, text: str) -> aiocoap.Message:
    return aiocoap.Message(code=code, payload=text.encode(), max_age=0)
