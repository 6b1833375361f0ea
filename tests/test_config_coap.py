"""What the configuration says of CoAP: remotes, and the shelf that is served."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edgehost.config import Config, read_config
from edgehost.config_coap import CoapCarrier
from edgehost.domain.errors import InvalidConfigError


def config(text: str) -> Config:
    return read_config(tomllib.loads(text), folder=Path("/site"))


def carrier(text: str) -> CoapCarrier:
    head = '[[remotes]]\nname = "fleet"\nroot = "root.json"\ntransport = "coap"\nhost = "gw"\n'
    (remote,) = config(head + text).remotes
    assert isinstance(remote.carrier, CoapCarrier)
    return remote.carrier


def test_a_host_is_enough_and_the_ports_are_the_standard_ones() -> None:
    assert carrier("").options().address_port == 5683
    assert carrier("tls = true").options().address_port == 5684
    assert carrier("port = 7000\ntls = true").options().address_port == 7000
    assert carrier('oscore_folder = "keys/gw"').options().oscore_folder == Path("/site/keys/gw")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('over = "udp"\ntls = true', "no TLS"),
        ('over = "sctp"', "over"),
        ('tls = true\ncert_file = "a.pem"', "both cert_file and key_file"),
        ('ca_file = "ca.pem"', "TLS, which is off"),
        ("port = 70000", "port"),
        ('repository = "../x"', "repository"),
        ('username = "me"', "belongs to transport"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_read(text: str, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        carrier(text)


def test_an_open_shelf_by_accident_is_refused_and_the_keys_that_help_are_named() -> None:
    with pytest.raises(InvalidConfigError, match=r"0\.0\.0\.0") as caught:
        config('[shelf]\ncoap_listen = "0.0.0.0"')
    for key in ("coap_client_ca_file", "coap_oscore_folder", "coap_open"):
        assert f"shelf.{key}" in caught.value.hint


def test_the_shelf_is_not_served_unless_it_is_asked_for() -> None:
    assert config("").shelf.coap_serving() is None


def test_on_loopback_it_is_open_until_it_has_credentials() -> None:
    serving = config('[shelf]\ncoap_listen = "127.0.0.1"').shelf.coap_serving()
    assert serving is not None
    assert serving.is_open
    assert serving.has_plain
    guarded = config('[shelf]\ncoap_listen = "127.0.0.1"\ncoap_oscore_folder = "o"').shelf.coap_serving()
    assert guarded is not None
    assert not guarded.is_open
    assert guarded.has_plain  # where each request shows its protection


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('coap_listen = "0.0.0.0"', "without credentials"),
        ('coap_listen = "::"', "without credentials"),
        ('coap_listen = "10.0.0.7"\ncoap_cert_file = "a"\ncoap_key_file = "b"', "without credentials"),
        ('coap_listen = "10.0.0.7"\ncoap_client_ca_file = "a"', "over TLS, which is off"),
        (
            'coap_listen = "127.0.0.1"\ncoap_cert_file = "a"',
            "both shelf.coap_cert_file and shelf.coap_key_file",
        ),
        ("coap_open = true", "coap_listen is empty"),
        ("coap_port = 7000", "coap_listen is empty"),
    ],
)
def test_a_shelf_that_would_be_open_by_accident_or_keys_without_effect_are_refused(
    text: str, message: str
) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        config(f"[shelf]\n{text}")


def test_with_tls_alone_for_strangers_the_ports_without_tls_stay_closed() -> None:
    text = 'coap_listen = "10.0.0.7"\ncoap_cert_file = "a"\ncoap_key_file = "b"\ncoap_client_ca_file = "c"'
    serving = config(f"[shelf]\n{text}").shelf.coap_serving()
    assert serving is not None
    assert not serving.has_plain
    opened = config(f"[shelf]\n{text}\ncoap_open = true").shelf.coap_serving()
    assert opened is not None
    assert opened.has_plain
