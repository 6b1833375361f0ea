"""One file by CoAP, block by block (RFC 7959), with an end to everything: bytes, blocks, changes of mind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import aiocoap
from aiocoap.numbers.codes import Code

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError
from remotes.coap_options import PATH_ROOT

_KIB, _BERT = 1024, 7
#: The file under a name may be replaced while it is fetched; one that is replaced all the time is no file.
_MOST_BEGINNINGS: Final = 3
_CREDENTIALS: Final = frozenset({Code.UNAUTHORIZED, Code.FORBIDDEN})


class OddAnswerError(Exception):
    """The server does not keep to the protocol."""


@dataclass(slots=True)
class Download:
    """What has come of a file so far. Knows no network: ask what to ask for, and give it what is answered."""

    remote: str
    path: str
    most_bytes: int
    exponent: int  # size of the blocks: 2^(exponent + 4) bytes; 7: as many KiB as one message over TCP takes
    content: bytearray = field(default_factory=bytearray)
    done: bool = False
    missing: bool = False
    _etag: bytes | None = None
    _beginnings: int = 1

    def request(self) -> aiocoap.Message:
        """The request for the next block."""
        message = aiocoap.Message(code=Code.GET, uri_path=uri_path(self.remote, self.path))
        size = _KIB if self.exponent == _BERT else 2 ** (self.exponent + 4)
        message.opt.block2 = (len(self.content) // size, False, self.exponent)
        return message

    def take(self, answer: aiocoap.Message, *, address: str) -> None:
        """What the server answered.

        Raises:
            TooLargeError: the file has more than ``most_bytes``, or says so.
            RemoteUnreachableError: the server refuses.
            OddAnswerError: the answer does not fit the request.
        """
        if answer.code is Code.NOT_FOUND:
            self.done = self.missing = True
            return
        if self.content and answer.code in {Code.BAD_REQUEST, Code.REQUEST_ENTITY_INCOMPLETE}:
            self._begin_again()  # the file became shorter, or the server forgot where this transfer was
            return
        if answer.code is not Code.CONTENT:
            raise refused(answer, f"{address}/{self.path}")
        if self.content and answer.opt.etag != self._etag:
            self._begin_again()
            return
        self._etag = answer.opt.etag
        self._add(answer)

    def _add(self, answer: aiocoap.Message) -> None:
        block = answer.opt.block2
        offset, more = (0, False) if block is None else (block.start, block.more)
        if offset != len(self.content):
            raise OddAnswerError(f"bytes from {offset} instead of {len(self.content)}")
        if block is not None and not block.is_valid_for_payload_size(len(answer.payload)):
            raise OddAnswerError(f"a block of {len(answer.payload)} bytes")
        if more and not answer.payload:
            raise OddAnswerError("an empty block with more to come")
        whole = max(answer.opt.size2 or 0, len(self.content) + len(answer.payload) + more)
        if whole > self.most_bytes:
            raise TooLargeError(f"{self.path} has {whole} bytes or more instead of {self.most_bytes}.")
        self.content += answer.payload
        self.done = not more
        if block is not None:
            # The server may want smaller blocks; bytes are counted, so that the next number is right either way.
            self.exponent = min(self.exponent, block.size_exponent)

    def _begin_again(self) -> None:
        self._beginnings += 1
        if self._beginnings > _MOST_BEGINNINGS:
            raise OddAnswerError(f"{self.path} changes all the time")
        self.content.clear()
        self._etag = None


def uri_path(remote: str, path: str) -> tuple[str, ...]:
    """The segments of a file's resource."""
    return (PATH_ROOT, remote, *path.split("/"))


def refused(answer: aiocoap.Message, what: str) -> RemoteUnreachableError:
    """The server answered with an error."""
    said = answer.payload[:80].decode("utf-8", "replace").strip()
    hint = "Look at the server's log."
    if answer.code in _CREDENTIALS:
        hint = "Check this host's credentials: oscore_folder, or cert_file and key_file with tls."
    elif answer.code is Code.SERVICE_UNAVAILABLE:
        hint = "It is busy or has lost its medium: it is asked again."
    return RemoteUnreachableError(
        f"{what}: the server answers {answer.code}{said and f' ({said})'}.", hint=hint
    )
