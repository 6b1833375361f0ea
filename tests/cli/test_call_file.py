"""``edgehost call FILE FUNCTION`` tries anything: it answers, or says in one sentence why not."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgehost.adapters.building import wasm_tools
from edgehost.adapters.building.wasm_tools import WasmTools
from edgehost.cli.main import main
from tests.cli.wat_modules import ECHO, MISBEHAVING, overlong_indirect, write_module

EXAMPLES = Path(__file__).parents[2] / "examples"
TELEMETRY = EXAMPLES / "telemetry" / "telemetry-1.0.0.wasm"


@pytest.fixture
def misbehaving(tmp_path: Path) -> str:
    return str(write_module(tmp_path / "bad.wasm", MISBEHAVING))


@pytest.fixture
def echo(tmp_path: Path) -> str:
    return str(write_module(tmp_path / "echo.wasm", ECHO))


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["add", "--args", "20", "22"], b"[42]\n"),
        (["add", "--args", "-5", "3"], b"[-2]\n"),
        (["halve", "--args", "3"], b"[1.5]\n"),
        (["pair", "--args", "9007199254740993"], b"[9007199254740993, -1]\n"),
        (["grow"], b"[-1]\n"),
    ],
)
def test_numbers_go_in_and_come_out(
    misbehaving: str, words: list[str], output: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["call", misbehaving, *words]) == 0
    captured = capsysbinary.readouterr()
    assert json.loads(captured.out) == json.loads(output)
    assert captured.err == b""


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["trap"], 1, "unreachable"),
        (["recurse"], 1, "stack overflow"),
        (["spin", "--deadline-ms", "100"], 4, "did not answer within 0.1 s"),
        (["ad"], 5, "The module exports no function 'ad'. Did you mean 'add'?"),
        (["add", "--args", "1"], 1, "takes 2 arguments; 1 were given"),
        (["add", "--args", "one", "2"], 2, "--args takes numbers, not 'one'"),
        (["add", "--input", "hi"], 1, "Is its ABI 'plain'?"),
        (["add", "--memory-kib", "1"], 2, "1 is not 64 to"),
        (["trap", "--config", "novalue"], 2, "--config takes KEY=VALUE"),
        (["trap", "--input", "@/nowhere/at/all"], 5, "No such file or directory: /nowhere/at/all."),
    ],
)
def test_a_failure_is_a_sentence_and_an_exit_code(
    misbehaving: str, words: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", misbehaving, *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert captured.err.startswith("edgehost: ")
    assert captured.err.count("\n") == 1


def test_the_output_is_exactly_the_guests_and_its_log_goes_to_stderr(
    echo: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["call", echo, "echo", "--input", "no newline, \u00e9"]) == 0
    captured = capsysbinary.readouterr()
    assert captured.out == "no newline, \u00e9".encode()
    assert captured.err == b"echo: info: h\n"


def test_the_guests_own_error_is_what_is_shown(echo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", echo, "echo"]) == 1
    assert "!" in capsys.readouterr().err.splitlines()[-1]


def test_what_a_guest_says_stays_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sly = write_module(tmp_path / "sly.wasm", ECHO.replace("i32.const 33", "i32.const 10"))
    assert main(["call", str(sly), "echo"]) == 1
    assert "\\n" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--args", "1"], "--args is for abi plain"),
        (["--abi", "extism", "--args"], "--args is for abi plain"),
        (["--abi", "plain", "--args", "1"], "use --abi extism"),
    ],
)
def test_numbers_for_a_function_that_takes_none_are_a_mistake_of_the_command_line(
    echo: str, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", echo, "echo", *words]) == 2
    assert complaint in capsys.readouterr().err


def test_a_pipe_is_no_component(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.wasm")
    assert main(["call", str(tmp_path / "pipe.wasm"), "run"]) == 1
    assert "is no regular file" in capsys.readouterr().err


def test_a_terminal_gets_a_newline_at_the_end(
    echo: str, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["call", echo, "echo", "--input", "hi"]) == 0
    assert main(["call", echo, "echo", "--input", "ho\n"]) == 0
    assert capsysbinary.readouterr().out == b"hi\nho\n"


def test_input_comes_from_a_file_or_standard_input(
    echo: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256))
    (tmp_path / "input").write_bytes(content)
    assert main(["call", echo, "echo", "--input", f"@{tmp_path / 'input'}"]) == 0
    assert capsysbinary.readouterr().out == content
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["call", echo, "echo", "--input", "-"]) == 0
    assert capsysbinary.readouterr().out == content


def test_the_guest_gets_its_configuration(echo: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["call", echo, "config_k", "--config", "k=a=b", "--config", "other=x"]) == 0
    assert capsysbinary.readouterr().out == b"a=b"


def test_json_carries_output_log_and_times(
    echo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", echo, "echo", "--input", "hi", "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["output"] == "hi"
    assert answer["log"] == [{"level": "info", "message": "h"}]
    assert answer["call_ms"] > 0
    assert captured.err == ""
    (tmp_path / "input").write_bytes(b"\xff\x00")
    assert main(["call", echo, "echo", "--input", f"@{tmp_path / 'input'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output_base64"] == "/wA="


@pytest.mark.parametrize(
    "content",
    [b"", b"\0asm", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f", b"#!/bin/sh\n", bytes(range(256)) * 400],
)
def test_what_is_no_module_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(content)
    assert main(["call", str(path), "run"]) in {1, 5}
    assert capsys.readouterr().err.count("\n") == 1


def test_every_cut_of_a_real_component_is_refused_or_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = TELEMETRY.read_bytes()
    path = tmp_path / "cut.wasm"
    for length in range(8, len(whole), len(whole) // 12):
        path.write_bytes(whole[:length])
        assert main(["call", str(path), "validate", "--input", "{}"]) in {1, 5}
    assert "Traceback" not in capsys.readouterr().err


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "huge.wasm"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert main(["call", str(path), "run"]) == 1
    assert "has more than 67108864 bytes" in capsys.readouterr().err


def test_a_component_brings_its_abi_limits_and_configuration(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    data = {"load_1m": 1, "memory_used_bytes": 1, "memory_total_bytes": 2}
    payload = json.dumps({"event": "create", "id": "a", "data": data})
    assert main(["call", str(TELEMETRY), "validate", "--input", payload]) == 0
    assert json.loads(capsysbinary.readouterr().out)["data"]["memory_used_percent"] == 50.0


def test_host_functions_answer_as_on_a_host_that_has_nothing_yet(capsys: pytest.CaptureFixture[str]) -> None:
    sensors = EXAMPLES / "sensors" / "sensors-1.0.0.wasm"
    assert main(["call", str(sensors), "collect", "--input", "{}"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"saved": None, "why": "not-found"}
    assert "No model 'telemetry' is live" in captured.err


def test_what_a_component_says_of_its_own_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"load_1m": 1, "memory_used_bytes": 99, "memory_total_bytes": 100}
    payload = json.dumps({"event": "create", "id": "a", "data": data})
    assert main(["call", str(TELEMETRY), "validate", "--input", payload]) == 0
    assert "telemetry: event: memory-high " in capsys.readouterr().err


def test_numbers_that_are_too_long_for_the_interpreter_are_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "indirect.wasm"
    path.write_bytes(overlong_indirect())
    assert main(["call", str(path), "run"]) == 0
    assert json.loads(capsys.readouterr().out) == [7]
    assert main(["call", str(path), "run", "--allow-host", "example.org"]) == 1
    assert "LEB" in capsys.readouterr().err
    monkeypatch.setattr(wasm_tools, "WasmTools", lambda: WasmTools("/nowhere/wasm-tools"))
    assert main(["call", str(path), "run"]) == 1
    assert "It may run once 'edgehost build' has rewritten it." in capsys.readouterr().err


def test_ctrl_c_ends_a_call_and_its_sandbox(misbehaving: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edgehost", "call", misbehaving, "spin", "--deadline-ms", "60000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "bad: spin: 1 s\n"  # it has run for a second
            process.send_signal(signal.SIGINT)
            output, complaint = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (output, complaint) == ("", "")


@pytest.mark.parametrize(("target", "what"), [("/nowhere/x.wasm", "does not exist"), ("/tmp", "is a folder")])
def test_a_path_that_is_no_file_is_not_found(
    target: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", target, "run"]) == 5
    assert f"{target} {what}." in capsys.readouterr().err


def test_options_of_a_trial_are_refused_for_a_component(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "telemetry", "summary", "--allow-host", "example.org"]) == 2
    assert "--allow-host is for files" in capsys.readouterr().err


def test_the_real_command_neither_dies_by_signal_nor_shows_a_traceback(misbehaving: str) -> None:
    for function in ("trap", "recurse"):
        done = subprocess.run(
            [sys.executable, "-m", "edgehost", "call", misbehaving, function],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("edgehost: bad: trap: ")
