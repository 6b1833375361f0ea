"""The command line as people and scripts meet it: help, mistakes, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import edgehost
from edgehost.cli.command_table import COMMANDS, EXIT_CODES
from edgehost.cli.main import main
from edgehost.cli.output import Output
from edgehost.cli.run_command import report
from edgehost.domain.errors import (
    BusyError,
    DeadlineExceededError,
    GuestTrapError,
    NotFoundError,
    UntrustedReleaseError,
)

EDGEHOST = (sys.executable, "-m", "edgehost")


def _edgehost(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EDGEHOST, *words], capture_output=True, text=True, timeout=30, check=False, cwd=cwd
    )


def test_help_lists_every_command_and_every_exit_code() -> None:
    done = _edgehost("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name, command in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert command.summary in done.stdout
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in done.stdout


def test_help_loads_neither_event_loop_nor_parser() -> None:
    code = (
        "import sys; from edgehost.cli.main import main; main(['--help']); "
        "print([name for name in ('asyncio', 'argparse', 'semver', 'tomllib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: edgehost {name} ")
    assert "--json" in text
    assert "exit codes:" in text


@pytest.mark.parametrize("words", [("fleet", "approve"), ("certificates", "renew"), ("deployment", "plan")])
def test_each_verb_says_what_it_does(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([words[0], "--help"]) == 0
    whole = " ".join(capsys.readouterr().out.split())
    assert main([*words, "--help"]) == 0
    _, said, _ = capsys.readouterr().out.split("\n\n", 2)
    summary = " ".join(said.split()).removesuffix(".")
    assert summary[1:] in whole


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["statsu"], "there is no command 'statsu'. Did you mean 'status'?"),
        (["--frob"], "there is no option '--frob'. See 'edgehost --help'."),
        (["init", "--frob"], "unrecognized arguments: --frob. See 'edgehost init --help'."),
        (["init", "a", "b"], "unrecognized arguments: b."),
    ],
)
def test_a_wrong_line_is_one_sentence_and_exit_code_2(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert captured.err.startswith("edgehost: ")
    assert captured.err.count("\n") == 1


def test_no_command_shows_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: edgehost" in capsys.readouterr().err


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgehost {version('edgehost')}\n"


def test_the_build_can_read_the_version() -> None:
    source = Path(edgehost.__file__).read_text()  # the build does not run it
    assert re.search(rf'^__version__ = "{re.escape(edgehost.__version__)}"$', source, re.MULTILINE)


def test_options_may_stand_before_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "-c", "/nowhere/edgehost.toml", "init", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["config_file"] == str(tmp_path / "edgehost.toml")


def test_an_error_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["init", str(tmp_path), "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (UntrustedReleaseError("no"), 1),
        (GuestTrapError("unreachable"), 1),
        (BusyError("later"), 3),
        (DeadlineExceededError("late"), 4),
        (TimeoutError(), 4),
        (NotFoundError("none"), 5),
        (FileNotFoundError(2, "No such file or directory", "x"), 5),
        (PermissionError(13, "Permission denied", "x"), 1),
        (ModuleNotFoundError("no amqtt", name="amqtt"), 1),
        (RuntimeError("a fault of ours"), 1),
    ],
)
def test_every_error_is_a_sentence_with_its_exit_code(
    problem: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(problem, Output()) == code
    text = capsys.readouterr().err
    assert text.startswith("edgehost: ")
    assert "Traceback" not in text


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    (tmp_path / "edgehost.toml").touch()
    done = _edgehost("init", str(tmp_path), "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ConflictError" in done.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*EDGEHOST, "--help"], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )
    os.close(write_end)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_full_disk_under_the_output_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*EDGEHOST, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "edgehost: the output cannot be written: No space left on device.\n"


def test_closed_standard_streams_are_no_trouble(tmp_path: Path) -> None:
    line = f"{sys.executable} -m edgehost init {tmp_path} <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", line], timeout=30, check=False).returncode == 0
    assert (tmp_path / "edgehost.toml").exists()


def test_a_name_that_is_no_text_is_shown_and_is_valid_json(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run([*EDGEHOST, "init", folder, "--json"], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["config_file"].endswith("\udcff/edgehost.toml")


def test_ctrl_c_ends_the_command_quietly(tmp_path: Path) -> None:
    fifo = tmp_path / "input"
    os.mkfifo(fifo)
    with (
        subprocess.Popen(
            [*EDGEHOST, "call", "any.wasm", "run", "--input", f"@{fifo}"], stderr=subprocess.PIPE, text=True
        ) as process,
        fifo.open("wb"),
    ):  # opens once the command has opened the other end
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaint == ""


@pytest.mark.parametrize(
    ("command", "missing"), [("export", "MODEL, FILE"), ("traffic", "NAME"), ("import", "MODEL, FILE")]
)
def test_what_may_be_left_out_is_not_called_missing(
    command: str, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 2
    assert f"required: {missing}. See" in capsys.readouterr().err
