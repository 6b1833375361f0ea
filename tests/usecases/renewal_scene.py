"""One certificate of a host on a turned clock: real files, real keys, and the openssl command as the authority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehost.adapters.certificates.pair_folder import PairDisk, PairFolder
from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.domain.certificate_life import HostMoment, Standing
from edgehost.domain.errors import EdgehostError
from edgehost.domain.events import Event
from edgehost.ports.certificate_authority import CertificateUser, PairPaths, SigningRequest, Verdict
from edgehost.usecases.renew_certificates import CertificateRenewal, RenewalPlan
from edgehost.usecases.view_certificates import Certificates
from tests.adapters.certificates.openssl_ca import OpensslCA

DAY = 86_400.0
START = 1_900_000_000.0
LIFE = 90.0  # days, begun a day ago


@dataclass
class Authority:
    """Meets the port; ``trouble`` is what it answers instead."""

    ca: OpensslCA
    now: Callable[[], float]
    trouble: EdgehostError | None = None
    has_secret: bool = False
    answer: Callable[[bytes], bytes] | None = None
    handed: bytes = b""
    asked: list[SigningRequest] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)

    async def look(self, current: PairPaths | None) -> str:
        return "it would be asked"

    async def sign(self, request: SigningRequest) -> bytes:
        self.asked.append(request)
        self.asked_at.append(self.now())
        if self.trouble is not None:
            raise self.trouble
        if self.answer is not None:
            return self.answer(request.pem)
        return self.ca.sign(request.pem, days=LIFE, now=self.now())

    async def authorities(self) -> bytes:
        return self.handed


@dataclass
class Broker:
    """Takes what an authority that it knows has issued, while it holds."""

    now: Callable[[], float]
    takes: Callable[[bytes], bool] = lambda _certificate: True
    reachable: bool = True
    shown: list[bytes] = field(default_factory=list)

    async def try_with(self, pair: PairPaths) -> Verdict:
        if not self.reachable:
            return Verdict.NOT_TAKEN
        certificate = Path(pair.certificate).read_bytes()  # noqa: ASYNC240 - a few bytes
        self.shown.append(certificate)
        return Verdict.TAKEN if self.takes(certificate) else Verdict.NOT_TAKEN


class Scene:
    """``turn`` lets the host look once; ``pass_days`` turns the clock in steps, as the host itself would wait."""

    def __init__(self, folder: Path, *, with_pair: bool = True, users: bool = True, **plan: Any) -> None:
        self.folder = folder
        self.now, self.is_set, self.floor, self.is_least = START, True, 0.0, False
        self.ca = OpensslCA(folder / "ca")
        self.authority = Authority(self.ca, lambda: self.now)
        self.broker = Broker(lambda: self.now)
        self.events: list[Event] = []
        self.anew = 0
        self.anchors: bytes | None = self.ca.cert_file.read_bytes()
        self.disk: PairDisk | None = None
        self._plan = plan
        self._users = users
        if with_pair:
            self.ca.pair(folder, "gate", days=LIFE, now=self.now)
        self.bus = LocalEventBus()
        self.bus.attach(_Ears(self.events), acting=False)
        self.renewal = self.started()

    def started(self) -> CertificateRenewal:
        """The host starts again."""
        self.renewal = CertificateRenewal(
            plan=RenewalPlan("broker", **{"common_name": "gate", **self._plan}),
            authority=self.authority,
            workshop=X509Workshop(),
            store=PairFolder(
                self.folder / "data" / "broker",
                self.folder / "gate.crt",
                self.folder / "gate.key",
                disk=self.disk,
            ),
            bus=self.bus,
            moment=lambda: HostMoment(self.now, self.is_set, self.floor, self.is_least),
            now=lambda: self.now,
            anchors=lambda: self.anchors,
            chance=lambda _seed: 0.5,
            users=(CertificateUser("fleet", self.broker.try_with),) if self._users else (),
            connect_anew=self._connect_anew,
        )
        return self.renewal

    def _connect_anew(self) -> None:
        self.anew += 1

    async def turn(self, days: float = 0) -> float:
        self.now += days * DAY
        return await self.renewal.turn()

    async def pass_days(self, days: float, *, most_step_s: float = DAY / 8) -> None:
        """As long as the host would sleep each time, and no less than ``most_step_s`` while nothing is due."""
        end = self.now + days * DAY
        while self.now < end:
            pause = await self.renewal.turn()
            self.now = min(self.now + max(pause, most_step_s), end)

    def standing(self) -> Standing:
        return self.renewal.standing

    def serial(self) -> str:
        facts = self.renewal.facts
        return "" if facts is None else facts.serial

    def told(self, kind: type[Event]) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]

    def finding(self) -> dict[str, Any]:
        (found,) = Certificates({"broker": self.renewal}).findings()
        return dict(found)


class _Ears:
    name, full, overfull = "ears", False, False

    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def wants(self, _event: Event) -> bool:
        return True

    def take(self, event: Event) -> None:
        self._events.append(event)

    async def room(self) -> None:
        return
