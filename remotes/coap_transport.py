"""A repository behind a CoAP server: TCP for bulk (RFC 8323), UDP block-wise where there is no TCP.

``/remote/<name>/metadata/<file>`` and ``/remote/<name>/chunk/<sha256>``. Read-only: a publisher writes to the folder
that is served. News comes by Observe (RFC 7641); since an observation can be lost without a sign, the timestamp is
also looked at now and then, and observed again when it has changed in silence.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiocoap

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError, RemoteUnreachableError
from remotes.certificate_connections import shows
from remotes.change_signals import ChangeSignals
from remotes.coap_download import Download, OddAnswerError, refused
from remotes.coap_link import CoapLink, LinkLostError, open_link
from remotes.coap_options import PATH_ROOT, CoapOptions
from remotes.coap_oscore import OscoreClient
from remotes.owned_tasks import Spawn, keep_running, owned_tasks
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP, require_path

_LOG: Final = logging.getLogger(__name__)
#: A server that ends connections while it answers is asked so often for one file, if it gets no further.
_MOST_LINKS: Final = 2
#: Files asked for at once; our server answers 16 requests of one client at a time.
_MOST_AT_ONCE: Final = 8


class CoapTransport:
    """See Source. Open it with open_coap_transport."""

    def __init__(self, name: str, options: CoapOptions, spawn: Spawn, oscore: OscoreClient | None) -> None:
        self._name = name
        self._options = options
        self._spawn = spawn
        self._oscore = oscore
        self._signals = ChangeSignals()
        self._link_signals = ChangeSignals()
        self._link: CoapLink | None = None
        self._dropped: set[CoapLink] = set()
        self._opening = asyncio.Lock()
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)
        self._connected = False
        self._datagrams_until = 0.0
        self._seen: tuple[bytes, bytes] | None = None
        self._trouble = ""

    @property
    def address(self) -> str:
        """The server and the path."""
        return f"{self._authority}/{PATH_ROOT}/{self._name}"

    @property
    def connected(self) -> bool:
        """Whether the server answered when it was asked last, and has not ended the connection since."""
        return self._connected

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Source."""
        download = Download(self._name, require_path(path), most_bytes, exponent=0)
        async with self._at_once:
            await self._bring(download)
        return None if download.missing else bytes(download.content)

    def changes(self) -> AsyncIterator[None]:
        """See Source."""
        return self._signals.listen()

    def link_changes(self) -> AsyncIterator[None]:
        """See Source."""
        return self._link_signals.listen()

    async def run(self) -> None:
        """Follow the timestamp until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._options.backoff_base_s, self._options.backoff_most_s)
        attempt = 0
        while True:
            link: CoapLink | None = None
            started = loop.time()
            try:
                link = await self._open()
                await self._follow(link)
            except LinkLostError as error:
                if link is not None:
                    self._drop(link, str(error))
            except OddAnswerError as error:
                self._report(str(error))
            except EdgehostError as error:
                self._is_lost(error.message)
            attempt = 0 if loop.time() - started > self._options.look_s else attempt + 1
            pause_s = backoff.delay_s(attempt, secrets.SystemRandom().random())
            pause_s = min(pause_s, self._options.look_s)
            if self._link is None:
                await asyncio.sleep(pause_s)
            else:
                await asyncio.wait({self._link.gone}, timeout=pause_s)

    def connect_anew(self) -> None:
        """Drop the link, so that the next one is made with whatever certificate is there now."""
        if self._link is not None:
            self._drop(self._link, "the certificate was replaced")

    async def close(self) -> None:
        """End the listeners and the link."""
        self._signals.close()
        self._link_signals.close()
        links = [*self._dropped, *([self._link] if self._link is not None else [])]
        self._link = None
        for link in links:
            await link.close()

    async def _bring(self, download: Download) -> None:
        """The whole file, over another link when one breaks, from where it broke."""
        links = 0
        while not download.done:
            had = len(download.content)
            link = await self._open()
            try:
                await self._pull(link, download)
            except LinkLostError as error:
                self._drop(link, str(error))
                links = 1 if len(download.content) > had else links + 1
                if links >= _MOST_LINKS or not link.is_stream:
                    raise self._unreachable(f"could not fetch {download.path}: {error}") from None
            except OddAnswerError as error:
                raise self._unreachable(f"odd answer for {download.path}: {error}") from None

    async def _pull(self, link: CoapLink, download: Download) -> None:
        """Ask for blocks until the file is here; a server must keep up a least speed over all of them."""
        loop = asyncio.get_running_loop()
        started, had = loop.time(), len(download.content)
        download.exponent = min(download.exponent, link.exponent) if had else link.exponent
        while not download.done:
            budget_s = (len(download.content) - had) / self._options.least_bytes_per_s
            if loop.time() - started > self._options.answer_timeout_s + budget_s:
                slow = f"fewer than {self._options.least_bytes_per_s:g} bytes a second of {download.path}"
                self._drop(link, slow)
                raise self._unreachable(slow)
            download.take(await link.ask(download.request()), address=self.address)
            self._is_heard()

    async def _follow(self, link: CoapLink) -> None:
        """Hear of new timestamps; returns when the observation is to be made anew."""
        answer, notifications = await link.observe(self._look_at())
        self._note(answer)
        if notifications is None:
            return  # there is none yet, or the server has too many observers: it is asked again
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with owned_tasks() as spawn:
            spawn(self._listen(notifications, ended), "edgehost.remote.coap.observe")
            seen = self._seen
            while True:
                waiting: set[asyncio.Future[Any]] = {ended, link.gone}
                await asyncio.wait(waiting, timeout=self._options.look_s, return_when=asyncio.FIRST_COMPLETED)
                if link.gone.done():
                    raise LinkLostError("the connection has ended")
                if ended.done():
                    return
                told = self._seen
                self._note(await link.ask(self._look_at()))
                if self._seen not in {seen, told}:
                    return  # it has changed in silence: the observation is lost
                seen = self._seen

    async def _listen(
        self, notifications: AsyncIterator[aiocoap.Message], ended: asyncio.Future[None]
    ) -> None:
        try:
            async for notification in notifications:
                self._note(notification)
        except (LinkLostError, EdgehostError) as error:
            _LOG.debug("%s: the observation has ended: %s", self.address, error)
        finally:
            if not ended.done():
                ended.set_result(None)

    def _look_at(self) -> aiocoap.Message:
        return Download(self._name, TIMESTAMP, METADATA_MOST_BYTES, exponent=6).request()

    def _note(self, answer: aiocoap.Message) -> None:
        """Tell of a timestamp that is not the last one; of a long one, the first block and the ETag tell."""
        if not answer.code.is_successful() and answer.code is not aiocoap.NOT_FOUND:
            raise refused(answer, self.address)
        self._is_heard()
        if answer.code is aiocoap.NOT_FOUND:
            return
        mark = (answer.opt.etag or b"", answer.payload)
        if mark != self._seen:
            self._seen = mark
            self._signals.fire()

    async def _open(self) -> CoapLink:
        """The link that is open, or a new one.

        Raises:
            RemoteUnreachableError: nobody is there.
        """
        async with self._opening:
            link = self._link
            if link is not None and not link.gone.done():
                return link
            if link is not None:
                self._drop(link, "the connection has ended")
            try:
                self._link = await self._new_link()
            except LinkLostError as error:
                trouble = self._unreachable(str(error))
                self._is_lost(trouble.message)
                raise trouble from None
            return self._link

    async def _new_link(self) -> CoapLink:
        over = self._options.over
        now = asyncio.get_running_loop().time()
        datagrams_may = over == "auto" and not self._options.tls
        if over == "udp" or (datagrams_may and now < self._datagrams_until):
            return await open_link(self._options, self._oscore, stream=False)
        tls = await asyncio.to_thread(self._options.tls_context)
        try:
            return await open_link(self._options, self._oscore, stream=True, tls=tls)
        except LinkLostError as error:
            if not datagrams_may:
                raise
            _LOG.info("%s: no TCP (%s); UDP is tried.", self._authority, error)
            self._datagrams_until = now + self._options.tcp_again_s
            return await open_link(self._options, self._oscore, stream=False)

    def _drop(self, link: CoapLink, why: str) -> None:
        """The link is of no use any more."""
        if link is not self._link:
            return  # somebody else has noticed
        self._link = None
        why = f"{self._authority}: {why}"
        if not link.is_stream:
            self._datagrams_until = 0.0  # maybe TCP is back, and if not, both are tried again
        self._is_lost(why)
        self._dropped.add(link)
        self._spawn(self._end(link), "edgehost.remote.coap.close")

    async def _end(self, link: CoapLink) -> None:
        await link.close()
        self._dropped.discard(link)

    def _is_heard(self) -> None:
        if self._trouble:
            _LOG.warning("%s answers again.", self._authority)
        self._trouble = ""
        if not self._connected:
            self._connected = True
            self._link_signals.fire()

    def _is_lost(self, why: str) -> None:
        self._report(why)
        if self._connected:
            self._connected = False
            self._link_signals.fire()

    def _report(self, trouble: str) -> None:
        """Log each new trouble once."""
        if trouble != self._trouble:
            _LOG.warning("%s", trouble)
        self._trouble = trouble

    def _unreachable(self, what: str) -> RemoteUnreachableError:
        return RemoteUnreachableError(
            f"{self.address}: {what}.", hint="Check that the server runs, its address and your credentials."
        )

    @property
    def _authority(self) -> str:
        scheme = "coaps+tcp" if self._options.tls else {"tcp": "coap+tcp"}.get(self._options.over, "coap")
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"{scheme}://{host}:{self._options.address_port}"


@asynccontextmanager
async def open_coap_transport(name: str, options: CoapOptions) -> AsyncIterator[CoapTransport]:
    """The server as the source of the remote ``name``; connects by itself, and again after every cut.

    Raises:
        InvalidConfigError: the options contradict each other, or a file of credentials cannot be used.
    """
    options.require_consistent()
    if options.cert_file is None or await asyncio.to_thread(options.cert_file.exists):
        await asyncio.to_thread(options.tls_context)  # else the first certificate is still to come
    oscore = None
    if options.oscore_folder is not None:
        oscore = await asyncio.to_thread(OscoreClient, options.oscore_folder)
    try:
        async with owned_tasks() as spawn:
            transport = CoapTransport(name, options, spawn, oscore)
            keep_running(spawn, transport.run, "edgehost.remote.coap")
            try:
                with shows(options.cert_file, transport.connect_anew):
                    yield transport
            finally:
                await transport.close()
    finally:
        if oscore is not None:
            oscore.close()
