"""What a remote over CoAP needs, and where a host serves what it has by CoAP."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from edgehost.config_settings import Choice, FilePath, Flag, Text, Whole
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import ADDRESS, NAME, worded
from remotes.coap_options import CoapOptions, CoapServing

_ADDRESS_OR_NONE: Final = worded(rf"|{ADDRESS.pattern}", "an address of this machine, or empty")
_NAME_OR_NONE: Final = worded(rf"|{NAME.pattern}", "a remote's name, or empty")


@dataclass(frozen=True, slots=True)
class CoapCarrier:
    """What a remote on a CoAP server needs: 'edgehost remote serve', or another host's shelf."""

    host: Annotated[str, Text("the server", ADDRESS)]
    port: Annotated[int, Whole("of TCP and UDP; 0: 5683, or 5684 with tls", 0, 65_535)] = 0
    over: Annotated[
        str,
        Choice("auto: TCP, and UDP block by block where TCP cannot be had", ("auto", "tcp", "udp")),
    ] = "auto"
    repository: Annotated[str, Text("its name there; empty: this remote's name", _NAME_OR_NONE)] = ""
    tls: Annotated[bool, Flag("encrypt, over TCP; the releases are signed either way")] = False
    ca_file: Annotated[
        Path | None, FilePath("who signs the server's certificate; empty: the system's list", optional=True)
    ] = None
    cert_file: Annotated[Path | None, FilePath("with tls: this host's certificate, PEM", optional=True)] = (
        None
    )
    key_file: Annotated[Path | None, FilePath("the key of cert_file, PEM", optional=True)] = None
    oscore_folder: Annotated[
        Path | None,
        FilePath(
            "this host's security context, made by 'edgehost remote oscore'; written to, never copied; empty: none",
            optional=True,
        ),
    ] = None

    def options(self) -> CoapOptions:
        """The same, for the transport."""
        return CoapOptions(
            host=self.host,
            port=self.port,
            over=cast("Literal['auto', 'tcp', 'udp']", self.over),
            tls=self.tls,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            oscore_folder=self.oscore_folder,
        )


@dataclass(frozen=True, slots=True)
class ShelfSettings:
    """[shelf]: whom this host gives the releases that it has; all of them are signed, so nobody need trust it."""

    coap_listen: Annotated[
        str,
        Text(
            "address; any but loopback needs credentials, or coap_open; empty: not served", _ADDRESS_OR_NONE
        ),
    ] = ""
    coap_port: Annotated[int, Whole("of UDP and TCP without TLS; 0 takes any free one", 0, 65_535)] = 5683
    coap_tls_port: Annotated[int, Whole("of TLS over TCP, with coap_cert_file", 0, 65_535)] = 5684
    coap_cert_file: Annotated[
        Path | None, FilePath("this host's certificate, PEM; empty: no TLS", optional=True)
    ] = None
    coap_key_file: Annotated[Path | None, FilePath("the key of coap_cert_file, PEM", optional=True)] = None
    coap_client_ca_file: Annotated[
        Path | None, FilePath("who signs the certificates of those who may read; empty: none", optional=True)
    ] = None
    coap_oscore_folder: Annotated[
        Path | None,
        FilePath("one security context for each reader, made by 'edgehost remote oscore'", optional=True),
    ] = None
    coap_open: Annotated[
        bool, Flag("anybody who reaches the address may read; right where releases are no secret")
    ] = False

    def require_consistent(self) -> None:
        """Refuse what would be open by accident, and keys that would do nothing.

        Raises:
            InvalidConfigError.
        """
        serving = self.coap_serving()
        if serving is not None:
            serving.require_consistent()
            return
        for each in dataclasses.fields(self):
            if each.name.startswith("coap_") and getattr(self, each.name) != each.default:
                raise InvalidConfigError(
                    f"shelf.{each.name} is set, and shelf.coap_listen is empty.",
                    hint="Set coap_listen to an address of this machine, or drop the key.",
                )

    def coap_serving(self) -> CoapServing | None:
        """The same, for the server; None when nothing is served."""
        if not self.coap_listen:
            return None
        return CoapServing(
            host=self.coap_listen,
            port=self.coap_port,
            tls_port=self.coap_tls_port,
            cert_file=self.coap_cert_file,
            key_file=self.coap_key_file,
            client_ca_file=self.coap_client_ca_file,
            oscore_folder=self.coap_oscore_folder,
            open=self.coap_open,
            called="shelf.coap_{}".format,
        )
