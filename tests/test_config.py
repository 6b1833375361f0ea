"""One file, no surprises: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.config import Config, load_config, read_config
from edgehost.config_services import KINDS
from edgehost.config_settings import settings_of
from edgehost.config_tables import (
    ApiSettings,
    ComponentSettings,
    FolderCarrier,
    HostSettings,
    MqttCarrier,
    RemoteSettings,
)
from edgehost.domain.errors import InvalidConfigError, NotFoundError, TooLargeError
from edgehost.domain.names import words_for

FOLDER = Path("/etc/edgehost")


def _written(folder: Path, text: str) -> Path:
    path = folder / "edgehost.toml"
    path.write_text(text)
    return path


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, ""))
    default = Config.default(tmp_path)
    assert (config.host, config.api, config.limits) == (default.host, default.api, default.limits)
    assert config.host.data == tmp_path / "data"
    assert config.unix_socket == tmp_path / "data" / "edgehost.sock"
    assert config.api.listen == "127.0.0.1"
    assert config.path == tmp_path / "edgehost.toml"
    assert config.remotes == ()


def test_a_full_file_is_read(tmp_path: Path) -> None:
    config = load_config(
        _written(
            tmp_path,
            """
            [host]
            name = "pump-7"
            device_class = "pi4"
            data = "/var/lib/edgehost"

            [[remotes]]
            name = "fleet"
            root = "root.json"
            transport = "mqtt"
            host = "broker.example.org"
            tls = true
            password_file = "secret"
            poll_s = 60
            follow = ["telemetry"]

            [[remotes]]
            name = "stick"
            root = "root.json"
            transport = "folder"
            path = "/media/usb"

            [components.telemetry]
            version = "^1.2"
            deny = ["notify"]
            config = { unit = "celsius" }
            """,
        )
    )
    fleet, stick = config.remotes
    assert isinstance(fleet.carrier, MqttCarrier)
    assert fleet.carrier.host == "broker.example.org"
    assert fleet.carrier.password_file == tmp_path / "secret"
    assert fleet.root == tmp_path / "root.json"
    assert fleet.follows("telemetry")
    assert not fleet.follows("lights")
    assert stick.carrier == FolderCarrier(path=Path("/media/usb"))
    assert stick.follows("anything")
    telemetry = config.component("telemetry")
    assert telemetry.versions.allows("1.9.0")
    assert not telemetry.versions.allows("2.0.0")
    assert telemetry.deny == ("notify",)
    assert telemetry.config["unit"] == "celsius"
    assert config.component("other").versions.allows("0.1.0")
    assert config.unix_socket == Path("/var/lib/edgehost/edgehost.sock")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"hots": {}}, "hots is unknown. Did you mean 'host'?"),
        ({"host": {"nmae": "x"}}, "host.nmae is unknown. Did you mean 'name'?"),
        ({"host": {"name": "Not A Label"}}, "host.name is 'Not A Label'"),
        ({"host": []}, "host must be a table, not a list."),
        ({"host": {"data": ""}}, "host.data is empty."),
        ({"host": {"data": "a\0b"}}, "host.data holds a zero byte"),
        ({"host": {"log_level": "warn"}}, "Did you mean 'warning'?"),
        ({"api": {"tcp_port": 70_000}}, "api.tcp_port is 70000; it must be 0 to 65535."),
        ({"api": {"tcp_port": "80"}}, "api.tcp_port must be a whole number, not a string."),
        ({"api": {"root": "api"}}, "api.root is 'api'"),
        ({"api": {"listen": "0.0.0.0"}}, "api.token_file is not set. Set api.token_file"),
        ({"api": {"unix_socket": "/" + "x" * 120}}, "longer than the 107 bytes that the kernel takes."),
        ({"limits": {"component_bytes": True}}, "limits.component_bytes must be a whole number"),
        ({"probation": {"error_rate": 2}}, "probation.error_rate is 2; it must be 0.0 to 1.0."),
        ({"keep": {"releases": 1}}, "keep.releases is 1; it must be 2 to 100."),
        ({"remotes": {}}, "remotes must be a list of tables, not a table."),
        ({"remotes": [1]}, "remotes[0] must be a table, not a number."),
        ({"remotes": [{"transport": "mqqt"}]}, "remotes[0].transport is 'mqqt'. Did you mean 'mqtt'?"),
        ({"remotes": [{"transport": "folder"}]}, "remotes[0].path is missing. Add 'path = ...'."),
        (
            {"remotes": [{"transport": "folder", "path": "x", "host": "y"}]},
            "remotes[0].host belongs to transport 'mqtt'; this remote's is 'folder'.",
        ),
        (
            {"remotes": [{"transport": "folder", "path": "x", "name": "a", "root": "r", "rot": 1}]},
            "remotes[0].rot is unknown. Did you mean 'root'?",
        ),
        (
            {"remotes": [{"transport": "folder", "path": "x", "name": "a", "root": "r"}] * 2},
            "remotes[1].name is 'a', as another remote's.",
        ),
        ({"components": {"Bad Name": {}}}, "components.Bad Name is no name"),
        ({"components": {"a": {"version": "newest"}}}, "components.a.version is 'newest'. Write"),
        (
            {"components": {"a": {"config": {"k": 1}}}},
            "components.a.config.k must be a string, not a number.",
        ),
        ({"components": {"a": {"verison": "1"}}}, "components.a.verison is unknown. Did you mean 'version'?"),
    ],
)
def test_a_refusal_names_the_key_and_what_to_do(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError) as refusal:
        read_config(document, folder=FOLDER)
    assert message in str(refusal.value)


def test_another_machine_may_reach_the_api_only_with_a_token() -> None:
    config = read_config({"api": {"listen": "0.0.0.0", "token_file": "token"}}, folder=FOLDER)
    assert config.api.token_file == FOLDER / "token"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.3.4.5", ""])
def test_loopback_needs_no_token(address: str) -> None:
    assert read_config({"api": {"listen": address}}, folder=FOLDER).api.listen == address


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="edgehost init"):
        load_config(tmp_path / "edgehost.toml")


@pytest.mark.parametrize("content", [b"[host", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused_with_the_place(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "edgehost.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidConfigError, match=r"edgehost\.toml is no TOML"):
        load_config(path)


def test_a_deeply_nested_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError):
        load_config(_written(tmp_path, "a = " + "[" * 100_000))


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "edgehost.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLargeError):
        load_config(path)


def test_a_refusal_from_a_file_names_the_file(tmp_path: Path) -> None:
    path = _written(tmp_path, "[host]\nnmae = 'x'\n")
    with pytest.raises(InvalidConfigError) as refusal:
        load_config(path)
    assert str(refusal.value).startswith(f"{path}: host.nmae is unknown.")


def test_secrets_of_a_component_stay_out_of_the_repr() -> None:
    config = read_config({"components": {"a": {"config": {"key": "hunter2"}}}}, folder=FOLDER)
    assert "hunter2" not in repr(config)


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["mqtt", "folder", "*", "^1.2", ">=1,<2", "127.0.0.1", "0.0.0.0", "info", "/api", "\0"]),
)
_KEYS = st.one_of(
    st.sampled_from(
        [
            "name",
            "root",
            "transport",
            "host",
            "path",
            "follow",
            "poll_s",
            "version",
            "deny",
            "config",
            "data",
            "listen",
        ]
    ),
    st.text(max_size=8),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_TABLES = st.sampled_from(["host", "api", "limits", "probation", "keep", "remotes", "components", "other"])


@given(st.dictionaries(_TABLES, _VALUES, max_size=4))
def test_any_document_is_read_or_refused_by_key(document: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidConfigError):
        assert read_config(document, folder=FOLDER).host.data.is_absolute()


def test_a_pipe_or_device_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "edgehost.toml")
    for path in (tmp_path / "edgehost.toml", Path("/dev/zero")):
        with pytest.raises(InvalidConfigError, match="no regular file"):
            load_config(path)


def test_a_misspelt_host_function_is_not_denied_in_vain(tmp_path: Path) -> None:
    def denying(*what: str, **others: object) -> None:
        read_config({"components": {"a": {"deny": list(what)}, **others}}, folder=tmp_path)

    with pytest.raises(InvalidConfigError, match=r"components\.a\.deny holds 'reading'.*'readings'"):
        denying("reading")
    denying("readings", "telemetry", "api.example.org")
    denying("reading", reading={})  # a model of this host


def test_a_name_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"host\.name is 'A b', which is not a DNS label") as refused:
        read_config({"host": {"name": "A b"}}, folder=tmp_path)
    assert "[a-z]" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [HostSettings, ApiSettings, RemoteSettings, ComponentSettings, MqttCarrier, *KINDS.values()],
)
def test_every_pattern_has_words(settings: type) -> None:
    for _, setting in settings_of(settings):
        pattern = getattr(setting, "pattern", None)
        assert pattern is None or words_for(pattern) != "in the form that is needed"
