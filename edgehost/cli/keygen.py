"""Make an Ed25519 key pair: NAME.key, which signs and stays secret, and NAME.pub, which others check with."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehost.cli.command_table import OK
from edgehost.cli.output import Output
from edgehost.cli.passphrase import VARIABLE, new_passphrase


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "name", metavar="NAME", help="path without ending, such as keys/root-a; missing folders are made"
    )
    parser.add_argument(
        "--no-passphrase",
        action="store_true",
        help=f"leave the key unencrypted; otherwise ${VARIABLE} or a prompt gives the passphrase",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Make the pair."""
    name = Path(args.name).expanduser()
    private_file = name if name.suffix == ".key" else name.with_name(f"{name.name}.key")
    passphrase = "" if args.no_passphrase else new_passphrase(private_file)
    from remotes.keys import generate_key, load_public_key  # noqa: PLC0415 - cryptography is not needed to ask or refuse

    made = [str(each) for each in private_file.parents if not each.exists()][::-1]
    public_file, key_id = generate_key(private_file, passphrase=passphrase)
    public = str(load_public_key(public_file).keyval["public"])
    out.result(
        {
            "private_file": str(private_file),
            "public_file": str(public_file),
            "key_id": key_id,
            "public_key": public,
            "encrypted": bool(passphrase),
            "made_folders": made,
        },
        *(f"Made the folder {each}." for each in made),
        f"Wrote {private_file} ({'encrypted' if passphrase else 'not encrypted'}) and {public_file}.",
        f"Key id {key_id}",
        f"Public key {public}",
    )
    return OK
