from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgehost.adapters.building.component_folder import read_component_folder, write_component
from edgehost.domain.errors import InvalidSpecificationError, NotFoundError
from tests.domain.wasm_samples import sample

TOML = """
name = "hello"
version = "1.0.0"
kind = "model"
wasm = "build/hello.wasm"

[model]
schema = "schema.json"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "build").mkdir()
    (tmp_path / "build/hello.wasm").write_bytes(sample())
    (tmp_path / "component.toml").write_text(TOML)
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidSpecificationError) as caught:
        read_component_folder(folder)
    return str(caught.value)


def test_the_folder_gives_the_document_with_its_schema_and_the_module(folder: Path) -> None:
    document, wasm = read_component_folder(folder)
    assert document == {
        "name": "hello",
        "version": "1.0.0",
        "kind": "model",
        "model": {"schema": {"type": "object"}},
    }
    assert wasm == sample()
    assert read_component_folder(folder / "component.toml") == (document, wasm)


def test_a_schema_written_in_the_toml_stays_as_it_is(folder: Path) -> None:
    (folder / "component.toml").write_text(
        TOML.replace('schema = "schema.json"', 'schema = {type = "object"}')
    )
    assert read_component_folder(folder)[0]["model"] == {"schema": {"type": "object"}}


def test_a_syntax_error_is_told_with_its_line(folder: Path) -> None:
    (folder / "component.toml").write_text(TOML + "\nkey = \n")
    assert "line 10" in refusal(folder)


def test_a_syntax_error_in_the_schema_is_told_with_its_line(folder: Path) -> None:
    (folder / "schema.json").write_text('{\n "type" 1}')
    assert "line 2" in refusal(folder)


def test_a_key_that_the_schema_has_twice_is_named(folder: Path) -> None:
    (folder / "schema.json").write_text('{"type": "object", "type": "array"}')
    assert "'type' twice" in refusal(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = 1\xff"])
def test_text_that_is_not_utf8_is_refused(folder: Path, content: bytes) -> None:
    (folder / "component.toml").write_bytes(content)
    assert "UTF-8" in refusal(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000])
def test_a_schema_that_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "schema.json").write_bytes(content)
    assert "no JSON" in refusal(folder) or "larger" in refusal(folder)


@pytest.mark.parametrize("deep", ["a = " + "[" * 5000 + "]" * 5000, "x" * 200_000])
def test_a_component_toml_that_is_too_deep_or_too_large_is_refused(folder: Path, deep: str) -> None:
    (folder / "component.toml").write_text(deep)
    assert refusal(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "build/../../secret", "a\0b", "link"])
def test_a_path_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    for key in ("wasm", "schema"):
        other = TOML.replace("build/hello.wasm" if key == "wasm" else "schema.json", json.dumps(name)[1:-1])
        (folder / "component.toml").write_text(other)
        assert "leads out" in refusal(folder)


def test_a_missing_module_says_what_to_run(folder: Path) -> None:
    (folder / "build/hello.wasm").unlink()
    with pytest.raises(NotFoundError, match=r"build\.sh"):
        read_component_folder(folder)


def test_a_missing_key_and_a_missing_file_are_told(folder: Path) -> None:
    (folder / "component.toml").write_text('name = "x"')
    assert "'wasm'" in refusal(folder)
    with pytest.raises(NotFoundError, match=r"component\.toml|nowhere"):
        read_component_folder(folder / "nowhere")
    (folder / "component.toml").write_text(TOML.replace("build/hello.wasm", "build"))
    with pytest.raises(NotFoundError):
        read_component_folder(folder)


def test_a_component_is_written_whole_under_its_name(tmp_path: Path) -> None:
    path = write_component(tmp_path / "out", "hello", "1.0.0", b"abc")
    assert path == tmp_path / "out/hello-1.0.0.wasm"
    assert path.read_bytes() == b"abc"
    write_component(tmp_path / "out", "hello", "1.0.0", b"abcd")
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["hello-1.0.0.wasm"]
    assert path.read_bytes() == b"abcd"
