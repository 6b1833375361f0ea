"""Repositories as CoAP resources: ``/remote/<name>/metadata/<file>`` and ``/remote/<name>/chunk/<sha256>``.

GET only, block-wise, with ETags; the timestamp can be observed; ``/.well-known/core`` lists what there is. Every
request is authorised by itself: a server with security contexts also gets requests without any protection, and
nothing but this code would refuse them.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiocoap
from aiocoap import interfaces
from aiocoap.interfaces import EndpointAddress
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.pipe import Pipe

from edgehost.domain.errors import EdgehostError
from remotes.coap_options import PATH_ROOT
from remotes.coap_oscore import OscoreServer, Refused
from remotes.served_repository import ServedRepository
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP

_LOG: Final = logging.getLogger(__name__)
_JSON, _BYTES, _LINKS = 50, 42, 40
_YEAR_S, _MINUTE_S = 31_536_000, 60
_BERT, _KIB = 7, 1024
_PATH_PARTS: Final = 4  # root, name, kind, file
#: One answer over TCP; the size of a chunk.
_MOST_ANSWER_BYTES: Final = 32 * _KIB
#: What one client, and all of them, may wait for at a time.
_MOST_AT_ONCE_EACH, _MOST_AT_ONCE = 16, 128
_MOST_OBSERVERS_EACH: Final = 4
#: Files in the middle of a transfer; a file that falls out is read again.
_MOST_KEPT, _MOST_KEPT_BYTES = 16, 2 * _KIB * _KIB
_KNOWN_OPTIONS: Final = frozenset(
    {
        OptionNumber.URI_HOST,
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,
        OptionNumber.ACCEPT,
        OptionNumber.BLOCK2,
    }
)

Send = Callable[[aiocoap.Message, bool], None]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read."""

    open: bool  # without credentials
    certificates: bool = False  # who came by TLS has shown one
    oscore: OscoreServer | None = None


class CoapShelf(interfaces.Resource):  # type: ignore[misc]  # aiocoap ships no types
    """Every path of the server."""

    def __init__(
        self, repositories: Mapping[str, ServedRepository], access: Access, *, most_observers: int = 128
    ) -> None:
        super().__init__()
        self._repositories = repositories
        self._access = access
        self._most_observers = most_observers
        self._at_once = Counter[Any]()
        self._observers = Counter[Any]()
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        """Blocks are cut here, where memory has bounds."""
        return False

    async def render(self, _request: aiocoap.Message) -> aiocoap.Message:
        """Never asked: see render_to_pipe."""
        return aiocoap.Message(code=Code.NOT_IMPLEMENTED)

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """Answer one request, and go on answering an observer."""
        request = pipe.request
        remote = request.remote

        def straight(message: aiocoap.Message, last: bool) -> None:  # noqa: FBT001 - as the library has it
            pipe.add_response(message, is_last=last)

        try:
            request, send = self._authorised(request, straight)
        except Refused as refused:
            pipe.add_response(refused.answer, is_last=True)
            return
        if self._at_once[remote] >= _MOST_AT_ONCE_EACH or self._at_once.total() >= _MOST_AT_ONCE:
            send(aiocoap.Message(code=Code.SERVICE_UNAVAILABLE, max_age=1), True)  # noqa: FBT003
            return
        try:
            with _counted(self._at_once, remote):
                answer, repository = await self._answer(request, remote)
            if repository is None or not self._may_observe(request, answer, remote):
                send(answer, True)  # noqa: FBT003
                return
            await self._notify(request, remote, repository, answer, send)
        except Exception as error:  # noqa: BLE001 - one request must not end the server, nor fill its log
            _LOG.warning("A CoAP request for %r failed: %r", request.opt.uri_path, error)
            send(aiocoap.Message(code=Code.INTERNAL_SERVER_ERROR), True)  # noqa: FBT003

    def _authorised(self, request: aiocoap.Message, send: Send) -> tuple[aiocoap.Message, Send]:
        """The request and the way back, if whoever asks may read here.

        Raises:
            Refused: they may not.
        """
        if request.opt.oscore is not None:
            if self._access.oscore is None:
                raise Refused(aiocoap.Message(code=Code.BAD_OPTION))
            return self._access.oscore.unprotected(request, send)
        certified = self._access.certificates and request.remote.scheme == "coaps+tcp"
        if not (self._access.open or certified):
            raise Refused(aiocoap.Message(code=Code.UNAUTHORIZED, payload=b"a credential is needed"))
        return request, send

    async def _answer(
        self, request: aiocoap.Message, remote: EndpointAddress
    ) -> tuple[aiocoap.Message, ServedRepository | None]:
        """The answer, and the repository when its timestamp was asked for."""
        refusal = _refusal(request)
        path = request.opt.uri_path
        if refusal is None and path == (".well-known", "core"):
            return _cut(self._links(), request, remote, _LINKS, _MINUTE_S), None
        if refusal is None and (len(path) != _PATH_PARTS or path[0] != PATH_ROOT):
            refusal = Code.NOT_FOUND
        repository = self._repositories.get(path[1]) if refusal is None else None
        if repository is None:
            return aiocoap.Message(code=refusal or Code.NOT_FOUND), None
        name = f"{path[2]}/{path[3]}"
        try:
            content = await self._content(path, repository, name, request)
        except ValueError:
            content = None
        except EdgehostError as error:
            _LOG.warning("'%s' cannot be served: %s", path[1], error)
            return aiocoap.Message(code=Code.SERVICE_UNAVAILABLE, max_age=_MINUTE_S), None
        if content is None:
            return aiocoap.Message(code=Code.NOT_FOUND), None
        is_timestamp = name == TIMESTAMP
        media = _BYTES if path[2] == "chunk" else _JSON
        answer = _cut(content, request, remote, media, _MINUTE_S if is_timestamp else _YEAR_S)
        if answer.opt.block2 is not None and answer.opt.block2.more:
            self._keep(path, content)
        return answer, repository if is_timestamp else None

    async def _content(
        self, path: tuple[str, ...], repository: ServedRepository, name: str, request: aiocoap.Message
    ) -> bytes | None:
        """The file; in the middle of a transfer the very file that it began with, if that is still here."""
        block = request.opt.block2
        if block is not None and block.block_number and path in self._kept:
            return self._kept[path]
        # The reader knows what it wants to be large; this bound is for the memory here.
        return await repository.read(name, METADATA_MOST_BYTES)

    def _keep(self, path: tuple[str, ...], content: bytes) -> None:
        self._kept[path] = content
        self._kept.move_to_end(path)
        while (
            len(self._kept) > _MOST_KEPT or sum(len(each) for each in self._kept.values()) > _MOST_KEPT_BYTES
        ):
            self._kept.popitem(last=False)

    def _may_observe(
        self, request: aiocoap.Message, answer: aiocoap.Message, remote: EndpointAddress
    ) -> bool:
        block = request.opt.block2
        return (
            request.opt.observe == 0
            and (block is None or block.block_number == 0)
            and answer.code in {Code.CONTENT, Code.VALID}
            and self._observers[remote] < _MOST_OBSERVERS_EACH
            and self._observers.total() < self._most_observers
        )

    async def _notify(
        self,
        request: aiocoap.Message,
        remote: EndpointAddress,
        repository: ServedRepository,
        answer: aiocoap.Message,
        send: Send,
    ) -> None:
        """Answer now and after each change, until the library finds that nobody listens and cancels this."""
        with _counted(self._observers, remote):
            changes = repository.changes()
            number = 2
            answer.opt.observe = number
            send(answer, False)  # noqa: FBT003
            async for _ in changes:
                answer, _timestamp = await self._answer(request, remote)
                if answer.code not in {Code.CONTENT, Code.VALID}:
                    break
                number += 1
                answer.opt.observe = number & 0xFFFFFF
                send(answer, False)  # noqa: FBT003
            # RFC 7641 section 4.2: an answer that is no success ends the observation.
            send(aiocoap.Message(code=Code.SERVICE_UNAVAILABLE, max_age=_MINUTE_S), True)  # noqa: FBT003

    def _links(self) -> bytes:
        """What there is (RFC 6690): the timestamp of each repository, from which everything else follows."""
        return ",".join(
            f'</{PATH_ROOT}/{name}/{TIMESTAMP}>;rt="edgehost.remote";ct={_JSON};obs'
            for name in sorted(self._repositories)
        ).encode()


def _refusal(request: aiocoap.Message) -> Code | None:
    """The code for what is no reading, or asks for what is not known here (RFC 7252 section 5.4.1)."""
    if request.code is not Code.GET:
        return Code.METHOD_NOT_ALLOWED
    options = request.opt.option_list()
    if any(each.number.is_critical() and each.number not in _KNOWN_OPTIONS for each in options):
        return Code.BAD_OPTION
    return None


def _cut(
    content: bytes, request: aiocoap.Message, remote: EndpointAddress, media: int, max_age_s: int
) -> aiocoap.Message:
    """The block that was asked for, or all of it when it fits (RFC 7959; RFC 8323 section 6 for BERT)."""
    etag = hashlib.sha256(content).digest()[:8]
    if etag in (request.opt.etags or ()):
        return aiocoap.Message(code=Code.VALID, etag=etag, max_age=max_age_s)
    asked = request.opt.block2
    exponent = min(remote.maximum_block_size_exp, _BERT if asked is None else asked.size_exponent)
    size = _KIB if exponent == _BERT else 2 ** (exponent + 4)
    offset = 0 if asked is None else asked.block_number * asked.size
    step = size
    if exponent == _BERT:
        step = min(max(remote.maximum_payload_size // _KIB, 1) * _KIB, _MOST_ANSWER_BYTES)
    answer = aiocoap.Message(
        code=Code.CONTENT, payload=content[offset : offset + step], content_format=media, etag=etag
    )
    answer.opt.max_age = max_age_s
    if offset and offset >= len(content):
        return aiocoap.Message(code=Code.BAD_REQUEST, payload=b"no such block")
    more = offset + step < len(content)
    if asked is not None or more:
        answer.opt.block2 = (offset // size, more, exponent)
        answer.opt.size2 = len(content)
    return answer


@contextmanager
def _counted(counter: Counter[Any], key: Any) -> Iterator[None]:  # noqa: ANN401 - an address of the library's
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]
