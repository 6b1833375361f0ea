"""``edgehost call FILE FUNCTION`` on AssemblyScript modules in AEGIS's convention."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgehost.cli.main import main
from edgehost.domain.component_file import SPEC_SECTION
from edgehost.domain.wasm_sections import module, read_sections

COUNTER = Path(__file__).parents[2] / "examples" / "aegis-counter" / "aegis-counter-1.0.0.wasm"


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """The module as any compiler left it: without a specification."""
    path = tmp_path / "counter.wasm"
    sections = read_sections(COUNTER.read_bytes())
    path.write_bytes(module(each.whole() for each in sections if each.name != SPEC_SECTION))
    return str(path)


@pytest.mark.parametrize("abi", [["--abi", "aegis"], []])
@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["getModelName"], "counter\n"),
        (["runFibonacci", "--input", '{"fibonacci": 20}'], '{"fibonacci": 20, "result": "6765.0"}\n'),
        (["fibonacci", "--args", "15"], "610\n"),
        (["fibonacci", "--input", "15"], "610\n"),
        (["validate", "--input", '{"name": "door"}'], '{"status": "ok"}\n'),
        (["describe", "--input", '{"a": "Zo\u00eb"}'], '{"a": "Zo\u00eb", "a.length": "3"}\n'),
        (["describe"], "{}\n"),
    ],
)
def test_a_string_is_printed_as_it_is_and_pairs_as_json(
    bare: str, words: list[str], output: str, abi: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", bare, *words, *abi]) == 0
    assert capsys.readouterr() == (output, "")


def test_a_component_answers_with_the_types_of_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", str(COUNTER), "runFibonacci", "--input", '{"fibonacci": 20}']) == 0
    assert json.loads(capsys.readouterr().out) == {"fibonacci": 20, "result": 6765}


def test_the_log_goes_to_standard_error(bare: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", bare, "increment", "--input", '{"name": "door"}']) == 0
    assert "info: door counts 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["runFibonacci", "--input", '{"fibonacci": 26}'], "fibonacci must be 0 to 25 in counter.ts:"),
        (["runFibonacci", "--input", "[[]]"], "the input is no object"),
        (["runFibonacci", "--input", "{"], "the input is no JSON"),
        (["__new", "--args", "1", "2"], "belongs to the module's own runtime"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    bare: str, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", bare, *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
