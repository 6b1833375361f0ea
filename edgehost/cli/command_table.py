"""Every sub-command in one table, and what the exit codes mean; the help text is made of both."""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """One sub-command: its group in the help, and one line about it."""

    group: str
    summary: str


#: ``edgehost NAME`` is ``edgehost/cli/NAME.py`` ('_' for '-'), imported when it is asked for.
COMMANDS: Final[dict[str, Command]] = {
    "init": Command("host", "write a commented edgehost.toml"),
    "run": Command("host", "run the host"),
    "demo": Command("host", "show the whole life of a component in under a minute"),
    "doctor": Command("host", "check this machine, the configuration and the running host"),
    "config": Command("host", "the generations of its configuration: list, apply, compare, go back"),
    "safe-mode": Command("host", "components off, control on; and out of it again"),
    "certificates": Command("host", "the certificates that it renews: list, renew, try without renewing"),
    "diag": Command("host", "put what it knows of itself into a file for whoever helps, without secrets"),
    "crashes": Command("host", "how its last unhappy ends came about"),
    "fleet": Command("fleet", "see and command the hosts of a fleet over MQTT"),
    "sm-plugin": Command("fleet", "the software-management plug-in of thin-edge.io"),
    "build": Command("author", "check a component and make it one file"),
    "component": Command("author", "check a component.toml, or print its JSON Schema for editors"),
    "keygen": Command("author", "make a signing key"),
    "remote": Command("author", "make, sign, rotate, show, mirror or serve a repository of releases"),
    "publish": Command("author", "sign a component and put it into a remote"),
    "bundle": Command(
        "author", "put a repository into one file for sites without network, or give one to a host"
    ),
    "deployment": Command("release", "what hosts should run: check, sign, plan, and see how it stands"),
    "deploy": Command("release", "bring a release of a component live"),
    "rollback": Command("release", "bring the release before back"),
    "bind": Command("release", "show and change which adapter a port leads to, and which service"),
    "traffic": Command("release", "try a version beside the live one: shares, shadows, comparison"),
    "status": Command("release", "what runs, and how it is"),
    "history": Command("release", "what happened to each release"),
    "ps": Command("use", "running instances"),
    "call": Command("use", "call a function of a component, or of a .wasm file without a host"),
    "get": Command("use", "read records, or any path of the API"),
    "import": Command("use", "create many records from a file of NDJSON or CBOR"),
    "export": Command("use", "write many records to a file as NDJSON or CBOR"),
    "pipeline": Command("use", "run components in a row, the answer of each the input of the next"),
    "workflow": Command("use", "how ports lead to each other, what was done for a record, taking it back"),
    "watch": Command("use", "follow events"),
    "logs": Command("use", "what components logged"),
    "boards": Command("device", "the boards that are known, and which may be plugged in"),
    "flash": Command("device", "write firmware to a board"),
    "bridge": Command("device", "the devices behind this host: see, call, watch, deploy, roll back"),
    "firmware": Command("device", "sign firmware and put it into a remote; list what remotes offer"),
}

GROUPS: Final[dict[str, str]] = {
    "host": "The host",
    "author": "Writing and publishing components",
    "fleet": "Fleets of hosts",
    "release": "Releases on this host",
    "use": "Using what runs",
    "device": "Microcontrollers",
}

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
TIMED_OUT: Final = 4
NOT_FOUND: Final = 5
NO_LINE: Final = 10
LINE_BUSY: Final = 11
NO_SYNC: Final = 12
CHIP_MISMATCH: Final = 13
VERIFY_FAILED: Final = 14
FLASH_FAILED: Final = 15
INTERRUPTED: Final = 130

EXIT_CODES: Final[dict[int, str]] = {
    OK: "done",
    FAILED: "it failed or was refused; the message says why",
    USAGE: "the command line is wrong",
    UNREACHABLE: "the host, a remote or a resource is not available now; try again later",
    TIMED_OUT: "no answer within the deadline",
    NOT_FOUND: "there is no such component, release, record or file",
    NO_LINE: "no line leads to the board, or several may",
    LINE_BUSY: "the line is in use, or this user may not open it",
    NO_SYNC: "no bootloader answers on the line",
    CHIP_MISMATCH: "the image or the chip that answers is not the board's",
    VERIFY_FAILED: "what was read back from the board is not what was written",
    FLASH_FAILED: "the line was lost, or the board refused; the message says in what state it is",
    INTERRUPTED: "interrupted by Ctrl-C",
}


def exit_code_lines() -> str:
    """The exit codes as they stand under every help text."""
    rows = (f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    return "\n".join(("exit codes:", *rows))


def help_text() -> str:
    """What ``edgehost --help`` prints."""
    lines = [
        "usage: edgehost [-c FILE] [--json] [--debug] COMMAND ...",
        "",
        "A federation host for the edge: signed WebAssembly components, swapped while they serve.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [
            f"  {name:<10} {command.summary}" for name, command in COMMANDS.items() if command.group == group
        ]
    lines += [
        "",
        "options:",
        "  -c FILE, --config-file FILE   default: $EDGEHOST_CONFIG, else ./edgehost.toml",
        "  --json                        one JSON object on standard output; one a line for streams",
        "  --debug                       show where an error came from",
        "  --version, -h, --help         'edgehost COMMAND --help' has the details",
        "",
        exit_code_lines(),
    ]
    return "\n".join(lines)
