"""The certificates that this host renews, wired to the connections that show them. Imported where one is configured."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

from edgehost.adapters.certificates.pair_folder import PairFolder
from edgehost.adapters.certificates.workshop_child import ChildWorkshop
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.composition.broker_options import broker_options
from edgehost.composition.rooms import Rooms
from edgehost.config import CertificateCarrier, Config
from edgehost.config_carriers import HttpCarrier
from edgehost.config_certificates import EXEC, CertificateSettings
from edgehost.config_coap import CoapCarrier
from edgehost.domain.certificate_life import HostMoment
from edgehost.domain.errors import RefusedError
from edgehost.ports.certificate_authority import CertificateAuthority, CertificateUser, PairPaths, Verdict
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.renew_certificates import CertificateRenewal, RenewalPlan
from edgehost.usecases.view_certificates import Certificates
from remotes import certificate_trial
from remotes.certificate_connections import connect_anew
from remotes.clock_floor import EARLIEST, newest_floor
from remotes.durable_file import read_bounded
from remotes.http_options import HttpOptions
from remotes.owned_tasks import Spawn, keep_running

#: The whole list of Mozilla's authorities has about 250 KiB.
_ANCHORS_MOST_BYTES: Final = 4 * 1024 * 1024


def start_certificates(rooms: Rooms, control: ControlHost, spawn: Spawn, stack: AsyncExitStack) -> None:
    """Keep every certificate of the configuration from ending, until the stack closes."""
    certificates = make_certificates(rooms.config, rooms.bus, rooms.clock)
    stack.callback(certificates.close)
    control.certificates = certificates
    control.more_findings.append(certificates.findings)
    for name, renewal in certificates.by_name.items():
        keep_running(spawn, renewal.run, f"edgehost.certificate.{name}")


async def certificates_on_disk(config: Config) -> Sequence[Mapping[str, Any]]:
    """What can be said of them while the host is down; nothing is changed, and nobody asked."""
    certificates = make_certificates(config, LocalEventBus(), SystemClock(set_from=EARLIEST.timestamp()))
    for renewal in certificates.by_name.values():
        await renewal.look()
    certificates.close()
    return await certificates.certificates()


def make_certificates(config: Config, bus: EventBus, clock: Clock) -> Certificates:
    """The renewals; none of them has begun."""
    workshop = ChildWorkshop()
    time = HostTime(config, clock)
    return Certificates(
        {each.name: _renewal(config, each, bus, time, workshop) for each in config.certificates},
        workshop.close,
    )


class HostTime:
    """The machine's time and what signatures vouch for; or, where the machine's is never right, the latter alone."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock, self._trusts = clock, config.host.trust_clock
        trusted = (config.host.data / "remotes" / each.name / "trusted" for each in config.remotes)
        self._folders = tuple(trusted)
        self._known = EARLIEST.timestamp(), clock.monotonic()  # so late it was at least, and when

    def now(self) -> float:
        """Unix seconds."""
        if self._trusts:
            return self._clock.now()
        least, known_at = self._known
        return least + self._clock.monotonic() - known_at

    def moment(self) -> HostMoment:
        """A few small files are read."""
        floor = float(newest_floor(self._folders))
        if self._trusts:
            # The machine's own: time that runs on from a floor knows no date well enough to ask for a certificate.
            return HostMoment(self.now(), SystemClock().now() >= EARLIEST.timestamp(), floor)
        if floor > self.now():
            self._known = floor, self._clock.monotonic()
        return HostMoment(self.now(), is_set=True, floor=floor, is_least=True)


def _renewal(
    config: Config, settings: CertificateSettings, bus: EventBus, time: HostTime, workshop: ChildWorkshop
) -> CertificateRenewal:
    return CertificateRenewal(
        plan=RenewalPlan(
            settings.name,
            common_name=settings.common_name or config.host.name,
            share=settings.renew_at,
            new_key=settings.new_key,
            tries_a_day=settings.tries_a_day,
        ),
        authority=_authority(settings, time, workshop),
        workshop=workshop,
        store=PairFolder(
            config.host.data / "certificates" / settings.name, settings.cert_file, settings.key_file
        ),
        bus=bus,
        moment=time.moment,
        now=time.now,
        anchors=partial(_anchors, settings.issuer_file),
        chance=partial(_chance, config.host.name),
        users=_users(config, settings),
        connect_anew=lambda: _connect_anew(settings.cert_file),
    )


def _authority(
    settings: CertificateSettings, time: HostTime, workshop: ChildWorkshop
) -> CertificateAuthority:
    if settings.method == EXEC:
        from edgehost.adapters.certificates.exec_authority import ExecAuthority  # noqa: PLC0415 - one of the two

        return ExecAuthority(settings.command, timeout_s=settings.timeout_s)
    from edgehost.adapters.certificates.est_authority import EstAuthority, EstServer  # noqa: PLC0415 - as above

    options = HttpOptions(
        ca_file=settings.ca_file,
        username=settings.username,
        password_file=settings.password_file,
        proxy=settings.proxy,
    )
    return EstAuthority(EstServer(settings.url, options), time.now, workshop.certificates_in)


def _users(config: Config, settings: CertificateSettings) -> tuple[CertificateUser, ...]:
    return tuple(
        CertificateUser(where, partial(_tried, carrier))
        for where, carrier in config.certificate_carriers()
        if carrier.cert_file == settings.cert_file
    )


async def _tried(carrier: CertificateCarrier, pair: PairPaths) -> Verdict:
    files = (Path(pair.certificate), Path(pair.key))
    taken: Callable[[], Awaitable[bool]]
    if isinstance(carrier, HttpCarrier):
        options = HttpOptions(
            ca_file=carrier.ca_file,
            token_file=carrier.token_file,
            username=carrier.username,
            password_file=carrier.password_file,
            proxy=carrier.proxy,
        )
        taken = partial(certificate_trial.http_takes, carrier.url, options, *files)
    elif isinstance(carrier, CoapCarrier):
        taken = partial(certificate_trial.coap_takes, carrier.options(), *files)
    else:
        taken = partial(certificate_trial.mqtt_takes, broker_options(carrier), *files)
    return Verdict.TAKEN if await taken() else Verdict.NOT_TAKEN


def _anchors(issuer_file: Path | None) -> bytes | None:
    if issuer_file is None:
        return None
    content = read_bounded(issuer_file, _ANCHORS_MOST_BYTES)
    if content is None:
        raise RefusedError(
            f"issuer_file {issuer_file} cannot be read.",
            hint="It must be a plain file of certificates as PEM.",
        )
    return content


def _chance(host: str, seed: str) -> float:
    """From 0 to 1, always the same for one host and seed: a restart does not draw again."""
    return int.from_bytes(hashlib.sha256(f"{host}\0{seed}".encode()).digest()[:6]) / 2.0**48


def _connect_anew(cert_file: PurePath) -> None:
    connect_anew(Path(cert_file))
