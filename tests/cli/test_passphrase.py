"""Passphrases on a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from remotes.keys import needs_passphrase

_PROMPTS = (b"(empty: none): ", b"Once more: ", b".key: ")


def _typed(folder: Path, words: Sequence[str], answers: Sequence[str]) -> tuple[int, str]:
    """Run the command on a terminal; answer each prompt as it appears."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "EDGEHOST_PASSPHRASE"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "edgehost", *words],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # otherwise the prompt goes to the terminal of whoever runs the tests
    )
    os.close(theirs)
    shown = b""
    left = list(answers)
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
            if left and shown.endswith(
                _PROMPTS
            ):  # not the new line after an answer: what is typed then is lost
                os.write(ours, left.pop(0).encode() + b"\n")
    except OSError:  # the terminal's other end is closed
        pass
    finally:
        os.close(ours)
        code = process.wait(30)
    return code, shown.decode()


def test_a_new_passphrase_is_asked_for_twice_and_never_shown(tmp_path: Path) -> None:
    code, shown = _typed(tmp_path, ["keygen", "a"], ["correct horse", "correct horse"])
    assert code == 0, shown
    assert "correct horse" not in shown
    assert needs_passphrase(tmp_path / "a.key")
    words = ["remote", "init", "fleet", "--root-key", "a.key", "--online-key", "a.pub"]
    code, shown = _typed(tmp_path, words, ["correct horse"])
    assert code == 0, shown


def test_two_different_answers_make_no_key(tmp_path: Path) -> None:
    code, shown = _typed(tmp_path, ["keygen", "a"], ["one", "two"])
    assert code == 2
    assert "the two passphrases differ" in shown
    assert not (tmp_path / "a.key").exists()


def test_an_empty_answer_leaves_the_key_open(tmp_path: Path) -> None:
    code, shown = _typed(tmp_path, ["keygen", "a"], [""])
    assert code == 0, shown
    assert not needs_passphrase(tmp_path / "a.key")
