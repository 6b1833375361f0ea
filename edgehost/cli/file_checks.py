"""What ``doctor`` asks of the files that the configuration names: secrets, and certificates with their ends."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgehost.cli.finding import Finding, good, note, wrong
from edgehost.config import Config
from edgehost.domain.errors import EdgehostError
from remotes.clock_floor import EARLIEST, from_seconds, newest_floor

_SECRET_ENDS: Final = ("token_file", "password_file", "key_file", "url_file")
_CERTIFICATE_ENDS: Final = ("ca_file", "cert_file", "issuer_file")
_OTHERS: Final = stat.S_IRWXO
#: Renewal may wait for somebody to come by.
_SOON_DAYS: Final = 30


def named_files(config: Config) -> Iterator[tuple[str, Path]]:
    """Every file that the configuration names, with its dotted key."""
    yield from _files_below(config, "")


def _files_below(value: Any, where: str) -> Iterator[tuple[str, Path]]:  # noqa: ANN401 - whatever a table holds
    if dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            inner = getattr(value, each.name)
            below = where if each.name in {"carrier", "options"} else f"{where}.{each.name}".lstrip(".")
            if isinstance(inner, Path):
                if each.name.endswith("_file"):
                    yield below, inner
            else:
                yield from _files_below(inner, below)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _files_below(inner, f"{where}.{name}")
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _files_below(inner, f"{where}[{index}]")


def check_secrets(config: Config) -> Iterator[Finding]:
    """Files with secrets are there, and nobody else reads them."""
    renewed = {each.key_file for each in config.certificates}
    for key, path in named_files(config):
        if key.endswith(_SECRET_ENDS):
            by_itself = path in renewed
            yield _to_come(key, path) if by_itself and not path.exists() else _secret(key, path, by_itself)


def _to_come(key: str, path: Path) -> Finding:
    return note(
        key,
        f"{path} is not there yet: the host asks for it when it runs.",
        "'edgehost certificates ls' tells how that goes.",
    )


def _secret(key: str, path: Path, by_itself: bool) -> Finding:  # noqa: FBT001 - whether the host renews it
    try:
        mode = path.stat().st_mode
    except OSError as problem:
        return wrong(key, f"{path}: {problem.strerror}.", "Write the secret into it, or drop the key.")
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        return wrong(key, f"{path} cannot be read by this user.", "Run as its owner, or fix its permissions.")
    if mode & _OTHERS:
        return note(key, f"every user of this machine can read {path}.", f"chmod 600 {path}")
    if by_itself and mode & stat.S_IRWXG:
        return note(
            key,
            f"a group can read {path}; once the host has renewed it, its own user alone can.",
            "Give whoever else reads it a pair of its own.",
        )
    return good(key, f"{path} is this user's alone")


def check_certificates(config: Config) -> Iterator[Finding]:
    """Certificates hold, and will for a while."""
    renewed = {each.cert_file for each in config.certificates}
    time = _time(config)
    for key, path in named_files(config):
        if not key.endswith(_CERTIFICATE_ENDS):
            continue
        by_itself = path in renewed
        yield (
            _to_come(key, path)
            if by_itself and not path.exists()
            else _certificate(key, path, time, by_itself=by_itself)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Time:
    """What certificates are judged by."""

    now: datetime
    is_least: bool  # it may be later

    def __str__(self) -> str:
        said = "signed dates are from" if self.is_least else "this machine's clock says"
        return f"{said} {self.now:%Y-%m-%d}"


def _time(config: Config) -> _Time:
    if config.host.trust_clock:
        return _Time(datetime.now(UTC), is_least=False)
    folders = (config.host.data / "remotes" / each.name / "trusted" for each in config.remotes)
    return _Time(max(EARLIEST, from_seconds(newest_floor(folders))), is_least=True)


def _certificate(key: str, path: Path, time: _Time, *, by_itself: bool) -> Finding:
    from remotes.certificate_dates import certificate_dates  # noqa: PLC0415 - for those who have certificates

    now = time.now
    try:
        found = certificate_dates(path)
    except EdgehostError as problem:
        return wrong(key, problem.message, problem.hint)
    # Of a list of authorities some have always ended; one of many is a note, the host's own is not.
    first = min(found, key=lambda each: each.ends)
    latest = max(each.ends for each in found)
    whose = f"'{first.subject}' in {path}"
    if found[0].begins > now and not time.is_least:
        return wrong(
            key,
            f"{whose} holds from {found[0].begins:%Y-%m-%d} on, and {time}.",
            "Check the clock of this machine first; then of whoever issued it.",
        )
    if (key.endswith("cert_file") and first.ends <= now) or latest <= now:
        return wrong(
            key,
            f"{whose} ended on {first.ends:%Y-%m-%d}, and {time}.",
            "Check the clock; if it is right, renew it. A new file is taken at the next connection."
            if not by_itself
            else "Check the clock; 'edgehost certificates ls' says why the host has not renewed it.",
        )
    days = (first.ends - now).days
    if first.ends <= now:
        return note(key, f"{whose} ended on {first.ends:%Y-%m-%d}; others in the file hold.", "Drop it.")
    if days < _SOON_DAYS and not by_itself:
        return note(
            key,
            f"{whose} ends on {first.ends:%Y-%m-%d}, in {days} days.",
            "Renew it: whatever writes the new file, it is taken at the next connection, without a restart.",
        )
    also = ", and the host renews it" if by_itself else ""
    return good(key, f"{whose} holds until {first.ends:%Y-%m-%d}{also}")
