"""docs/deployments.md names every key that a deployment has, with the default that it has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from edgehost.domain.deployment import Deployment, Gates, OnFailure, Rollout
from edgehost.domain.deployment_reader import read_deployment
from edgehost.domain.rollout_report import RolloutState

PAGE = (Path(__file__).parents[2] / "docs" / "deployments.md").read_text()
BLOCK = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Noting(dict[str, Any]):
    """A table that remembers what it was asked for, and hands out tables that do the same."""

    def __init__(self, document: dict[str, Any], where: str, asked: set[str]) -> None:
        super().__init__({key: _noting(value, f"{where}{key}", asked) for key, value in document.items()})
        self.where, self.asked = where, asked

    def __contains__(self, key: object) -> bool:
        self.asked.add(f"{self.where}{key}")
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(f"{self.where}{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(f"{self.where}{key}")
        return super().get(key, default)


def _noting(value: Any, where: str, asked: set[str]) -> Any:
    if isinstance(value, dict):
        return Noting(value, f"{where}.", asked)
    if isinstance(value, list):
        return [_noting(each, where, asked) for each in value]
    return value


def _keys(document: dict[str, Any], where: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in document.items():
        found.add(f"{where}{key}")
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found |= _keys(inner, f"{where}{key}.")
    return found


def example() -> dict[str, Any]:
    assert BLOCK is not None
    return tomllib.loads(BLOCK[1])


def test_the_page_has_every_key_that_the_reader_asks_for() -> None:
    asked: set[str] = set()
    read_deployment(Noting(example(), "", asked), sequence=1, digest="")
    assert len(asked) > 30
    assert asked <= _keys(example()), sorted(asked - _keys(example()))


def test_its_defaults_are_those_of_a_host() -> None:
    shown = read_deployment(example(), sequence=1, digest="")
    plain = read_deployment({"name": "site"}, sequence=1, digest="")
    for name in ("note", "priority", "on_failure", "deadline_s"):
        assert getattr(shown, name) == getattr(plain, name), name
    for name in Rollout.__dataclass_fields__.keys() - {"gates", "windows"}:
        assert getattr(shown.rollout, name) == getattr(plain.rollout, name), name
    assert shown.rollout.gates == Gates()
    (component,) = shown.components
    assert (component.present, component.share, component.after) == (True, 0.0, ())
    assert component.versions.text == "*"
    assert isinstance(shown, Deployment)


def test_it_tells_every_state_and_every_way_to_fail() -> None:
    for word in (*RolloutState, *OnFailure):
        assert f"`{word}`" in PAGE or f"{word}:" in PAGE, word
