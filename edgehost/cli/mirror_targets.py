"""Where a repository is mirrored to, as the command line names it, and the mirroring itself.

``mqtt://[USER@]HOST[:PORT]/NAME`` or ``mqtts://...`` is the remote NAME on a broker, anything else a folder.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from edgehost.cli.output import Output, size
from edgehost.cli.problems import first_problem
from edgehost.cli.progress import Progress
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import EdgehostError, RemoteUnreachableError
from edgehost.domain.names import NAME
from remotes.folder_transport import open_folder_transport
from remotes.mirror import Mirrored, mirror_repository
from remotes.mqtt_options import MIRROR_MISSING_TIMEOUT_S, MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.repository import Repository
from remotes.transport import Transport

#: Never on the command line, where ps shows it.
PASSWORD_VARIABLE: Final = "EDGEHOST_MQTT_PASSWORD"  # noqa: S105 - the name of a variable
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class MirrorTarget:
    """A folder, or a remote on a broker."""

    text: str
    folder: Path | None = None
    remote: str = ""
    broker: MqttOptions | None = None

    def opened(self) -> AbstractAsyncContextManager[Transport]:
        """The transport that leads there."""
        if self.broker is not None:
            return open_mqtt_transport(self.remote, self.broker)
        folder = Path(self.text) if self.folder is None else self.folder
        try:
            folder.mkdir(exist_ok=True)  # not its parents: a stick that is away must not become a folder
        except OSError as problem:
            raise RemoteUnreachableError(
                f"{folder} cannot be made: {problem.strerror}.", hint="Is the medium plugged in and mounted?"
            ) from None
        return open_folder_transport(folder)


def read_target(text: str, *, ca_file: Path | None = None) -> MirrorTarget:
    """The target that was named.

    Raises:
        UsageError: it is no address of a broker.
    """
    if "://" not in text:
        return MirrorTarget(text, folder=Path(text).expanduser())
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"'{text}' is no address") from None
    name = parts.path.strip("/")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"'{text}' is neither a folder nor mqtt://HOST/NAME nor mqtts://HOST/NAME")
    if parts.password is not None:
        raise UsageError(f"a password on the command line is seen by others: set ${PASSWORD_VARIABLE}")
    if not NAME.fullmatch(name):
        raise UsageError(f"'{text}' must end in the remote's name, such as mqtt://{parts.hostname}/fleet")
    broker = MqttOptions(
        host=parts.hostname,
        tcp_port=port or _PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password=os.environ.get(PASSWORD_VARIABLE, ""),
        tls=parts.scheme == "mqtts",
        ca_file=ca_file,
        missing_timeout_s=MIRROR_MISSING_TIMEOUT_S,
    )
    return MirrorTarget(text, remote=name, broker=broker)


async def mirror_to_all(
    folder: Path,
    targets: Sequence[MirrorTarget],
    out: Output,
    *,
    fresh: frozenset[str] = frozenset(),
    before: bytes = b"",
) -> dict[str, Mirrored]:
    """Bring each target to the repository's state.

    Raises:
        EdgehostError: of the first that failed, once all were tried; the hint says how to go on.
    """
    done: dict[str, Mirrored] = {}
    failed: EdgehostError | None = None
    for target in targets:
        try:
            with Progress(f"mirroring to {target.text}", out) as progress:
                async with target.opened() as transport:
                    done[target.text] = await mirror_repository(
                        Repository(folder), transport, fresh=fresh, before=before, progress=progress.moved_to
                    )
        except (EdgehostError, ExceptionGroup) as caught:
            problem = first_problem(caught)
            if not isinstance(problem, EdgehostError):
                raise
            again = f"What was signed is kept in {folder}: '{_command(folder, target)}'."
            hint = f"{problem.hint} {_access_hint(target, problem.message)}".strip()
            failed = failed or type(problem)(problem.message, hint=f"{hint} {again}".strip())
    if failed is not None:
        raise failed
    return done


def _command(folder: Path, target: MirrorTarget) -> str:
    """What does the same again."""
    words = ["edgehost", "remote", "mirror", str(folder), "--to", target.text]
    if target.broker is not None and target.broker.ca_file is not None:
        words += ["--ca-file", str(target.broker.ca_file)]
    return shlex.join(words)


def _access_hint(target: MirrorTarget, trouble: str) -> str:
    """What a broker that refuses was most likely not told."""
    broker = target.broker
    if broker is not None and broker.tls and broker.ca_file is None and "CERTIFICATE_VERIFY" in trouble:
        return "'--ca-file' names who signed the broker's certificate."
    if broker is not None and broker.username and not broker.password:
        return f"${PASSWORD_VARIABLE} is not set."
    return ""


def mirrored_lines(mirrored: Mapping[str, Mirrored]) -> list[str]:
    """What was done, for people."""
    return [
        f"Mirrored to {target}: {counts.published} files sent ({size(counts.bytes_sent)}), "
        f"{counts.unchanged} were there, {counts.removed} removed."
        for target, counts in mirrored.items()
    ]
