"""[upstream.NAME] in the configuration."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgehost.config import Config, read_config
from edgehost.config_upstream import HomeAssistantOptions, SparkplugOptions
from edgehost.domain.errors import RefusedError
from edgehost.domain.upstream_node import FigureKind

HOME = '[upstream.home]\nkind = "home-assistant"\nhost = "broker.local"\n'
PLANT = '[upstream.plant]\nkind = "sparkplug"\nhost = "broker.local"\n'


def config(text: str) -> Config:
    return read_config(tomllib.loads(text), folder=Path("/etc/edgehost"))


def test_both_kinds_are_read_with_what_their_figures_are() -> None:
    read = config(
        HOME
        + 'ca_file = "ca.pem"\ntls = true\n[upstream.home.figures."component.level"]\nunit = "%"\n'
        + 'device_class = "humidity"\n'
        + PLANT
        + 'group = "yard 1"\n'
    )
    home, plant = read.upstream["home"], read.upstream["plant"]
    assert home.options == HomeAssistantOptions()
    assert home.carrier.ca_file == Path("/etc/edgehost/ca.pem")
    assert home.figures == {"component.level": FigureKind(unit="%", device_class="humidity")}
    assert home.shows("anything")
    assert plant.options == SparkplugOptions(group="yard 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[upstream.x]\nkind = "teapot"\nhost = "a"\n', "kind"),
        ('[upstream.x]\nhost = "a"\n', "kind"),
        ('[upstream.x]\nkind = "sparkplug"\n', "host"),
        (PLANT + "buttons = true\n", "buttons"),
        (HOME + 'group = "a"\n', "group"),
        (PLANT + 'group = "a/b"\n', "group"),
        (HOME + 'topic_root = "a/#"\n', "topic_root"),
        (HOME + 'ca_file = "ca.pem"\n', "ca_file"),
        (HOME + 'devices = ["lamp"]\n', "lamp"),
        (HOME + '[upstream.home.figures."a b"]\nunit = "%"\n', "figures"),
        (HOME + '[upstream.home.figures.a]\nicon = "x"\n', "icon"),
        (HOME + HOME.replace("home]", "other]"), "discovery_prefix"),
        (PLANT + PLANT.replace("plant]", "other]"), "group or node"),
        (
            "".join(f'[upstream.x{n}]\nkind = "sparkplug"\nhost = "h{n}"\n' for n in range(9)),
            "8 are possible",
        ),
    ],
)
def test_what_would_do_nothing_or_contradict_itself_is_refused(text: str, said: str) -> None:
    with pytest.raises(RefusedError) as refused:
        config(text)
    assert said in f"{refused.value} {refused.value.hint}"


def test_without_an_upstream_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, edgehost.host\n"
        "found = [name for name in sys.modules if 'adapters.upstream' in name or 'report_upstream' in name"
        " or 'upstream_systems' in name]\n"
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
