"""Every key of a TOML text is found on its line, whatever way it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.adapters.building.key_lines import key_lines, line_of

TEXT = '''\
name = "a # no comment"  # a comment
"quoted key" = 1
a.b = {c = [1, {d = "]}"}], "e.f" = 2}

[model]            # [not.a.table]
text = """
fake = 1
[fake]
"""
list = [
  1,  # one
  [2, 3],
  {x = 1},
]
[[model.handlers]]
on = 'x'
[[model.handlers]]
on = "y"
[model.handlers.where]
deep = true
[ model . "ports" . ship ]
late = 1979-05-27
'''
PLACES = {
    "name": 1,
    "quoted key": 2,
    "a.b.c[1].d": 3,
    "a.b.e.f": 3,
    "model": 5,
    "model.text": 6,
    "model.list": 10,
    "model.list[0]": 11,
    "model.list[1][1]": 12,
    "model.list[2].x": 13,
    "model.handlers[0].on": 16,
    "model.handlers[1]": 17,
    "model.handlers[1].where.deep": 20,
    "model.ports.ship": 21,
    "model.ports.ship.late": 22,
    "model.ports.ship.missing.more": 21,
    "model.handlers[7].on": 0,
    "missing": 0,
}


@pytest.mark.parametrize(("path", "line"), PLACES.items())
def test_a_key_is_on_its_line(path: str, line: int) -> None:
    tomllib.loads(TEXT)
    found = line_of(TEXT, path)
    assert found == (line or (5 if path.startswith("model") else 0))
    assert "fake" not in str(key_lines(TEXT))


def paths_in(value: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_in(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_in(item, f"{path}[{index}]")


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("**/component.toml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_every_key_of_the_examples_is_found(file: Path) -> None:
    text = file.read_text()
    lines = key_lines(text)
    for path in paths_in(tomllib.loads(text)):
        assert path in lines or any(known.startswith((f"{path}.", f"{path}[")) for known in lines)
        last = path.rpartition(".")[2].partition("[")[0]
        if path in lines and not path.endswith("]"):
            assert last in text.splitlines()[lines[path] - 1]


@given(st.text(alphabet=st.sampled_from("ab.=\"'[]{},#\n \\1"), max_size=60))
def test_any_text_is_walked_to_its_end(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())
