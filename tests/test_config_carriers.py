"""Remotes on the web and on sticks, as the configuration has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgehost.config import Config, read_config
from edgehost.config_carriers import HttpCarrier, StickCarrier, TreeCarrier
from edgehost.domain.errors import InvalidConfigError


def remote(**keys: Any) -> Config:
    document = {"remotes": [{"name": "fleet", "root": "root.json", **keys}]}
    return read_config(document, folder=Path("/etc/edgehost"))


def test_each_carrier_has_the_defaults_that_a_site_needs() -> None:
    web = remote(transport="http", url="https://example.org/remote").remotes[0].carrier
    assert web == HttpCarrier(url="https://example.org/remote")
    tree = remote(transport="tree", owner="team", repo="things", token_file="token").remotes[0].carrier
    assert tree == TreeCarrier(owner="team", repo="things", token_file=Path("/etc/edgehost/token"))
    assert remote(transport="stick").remotes[0].carrier == StickCarrier(path=Path("/media"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "https://user:secret@example.org/x",
        "https://example.org/x?token=1",
        "https://example.org/x#y",
        "https://exa mple.org",
        "example.org",
        "https://example.org/x\r\nHost: y",
    ],
)
def test_an_address_is_a_plain_one(url: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"remotes\[0\]\.url"):
        remote(transport="http", url=url)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"token_file": "t", "url": "http://example.org"},
            "token_file would cross the network in clear text",
        ),
        (
            {"username": "u", "password_file": "p", "url": "http://example.org"},
            "username would cross the network in clear text",
        ),
        ({"username": "u", "token_file": "t"}, "username is there beside token_file"),
        ({"password_file": "p"}, "password_file is there without username"),
        ({"key_file": "k"}, "key_file is there without cert_file"),
        ({"username": "a:b"}, "username"),
        ({"proxy": "https://proxy:3128"}, "proxy"),
        ({"proxy": "socks5://proxy"}, "proxy"),
        ({"owner": "team"}, "belongs to transport 'tree'"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_key(keys: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidConfigError, match=words):
        remote(**{"transport": "http", "url": "https://example.org/x", **keys})


def test_secrets_in_clear_text_are_for_this_machine_only() -> None:
    remote(transport="http", url="http://127.0.0.1:8080/x", token_file="t")
    with pytest.raises(InvalidConfigError, match="in clear text"):
        remote(transport="tree", owner="a", repo="b", api="http://git.example.org/api/v1", token_file="t")


@pytest.mark.parametrize(
    "keys",
    [
        {"owner": "../x"},
        {"repo": "a/b"},
        {"ref": "a b"},
        {"ref": ".."},
        {"repo": "."},
        {"folder": "a/../b"},
        {"folder": "/abs"},
        {"folder": "a//b"},
        {"forge": "svn"},
    ],
)
def test_names_on_a_forge_cannot_lead_elsewhere(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        remote(**{"transport": "tree", "owner": "team", "repo": "things", **keys})
