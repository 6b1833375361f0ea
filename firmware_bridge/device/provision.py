"""Gives a firmware image its identity: who it is, and whose manifests it believes.

The image has a record with a magic (``src/provision.h``) that this patches, in an ELF file and a flat binary alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MAGIC: Final = b"EHPROV1\0"
UID_BYTES: Final = 8
KEY_BYTES: Final = 32
MOST_KEYS: Final = 4


def provisioned(image: bytes, uid: bytes, keys: Sequence[bytes]) -> bytes:
    """The image with this unique id (8 bytes) and these raw Ed25519 public keys (32 bytes each, 1 to 4).

    Raises:
        ValueError: the image has no place for them, or they have the wrong size.
    """
    if len(uid) != UID_BYTES:
        raise ValueError(f"A unique id has {UID_BYTES} bytes, this one {len(uid)}.")
    if not 1 <= len(keys) <= MOST_KEYS or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"A device takes 1 to {MOST_KEYS} keys of {KEY_BYTES} bytes.")
    if image.count(MAGIC) != 1:
        raise ValueError(f"This is no device firmware: it has {image.count(MAGIC)} records to provision.")
    record = MAGIC + uid + bytes([len(keys)]) + bytes(7) + b"".join(keys).ljust(MOST_KEYS * KEY_BYTES, b"\0")
    start = image.index(MAGIC)
    return image[:start] + record + image[start + len(record) :]


def main() -> None:
    """``python -m firmware_bridge.device.provision IMAGE OUT --uid HEX --key HEX [--key HEX ...]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--uid", type=bytes.fromhex, required=True, help="unique id, 16 hexadecimal digits")
    parser.add_argument(
        "--key", type=bytes.fromhex, action="append", required=True, help="Ed25519 public key, hex"
    )
    chosen = parser.parse_args()
    chosen.out.write_bytes(provisioned(chosen.image.read_bytes(), chosen.uid, chosen.key))
    chosen.out.chmod(0o755)


if __name__ == "__main__":
    main()
