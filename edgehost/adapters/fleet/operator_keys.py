"""The keys of those who may command this host; the library that checks them is imported with the first signature."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.config_fleet import OperatorSettings
from edgehost.domain.errors import InvalidConfigError, RefusedError
from edgehost.domain.fleet_messages import COMMAND_MOST_BYTES
from edgehost.domain.fleet_rules import Operator
from edgehost.domain.json_text import read_json
from remotes import cose_sign1
from remotes.durable_file import read_bounded

_KEY_FILE_MOST_BYTES: Final = 16_384


class OperatorKeys:
    """Signatures by the operators of the configuration."""

    def __init__(self, operators: tuple[tuple[bytes, Operator], ...]) -> None:
        self._keys = {bytes.fromhex(operator.key_id): public for public, operator in operators}
        self._operators = {bytes.fromhex(operator.key_id): operator for _, operator in operators}

    async def opened(self, signed: bytes, *, purpose: str) -> tuple[Mapping[str, Any], Operator]:
        """What was signed and by whom.

        Raises:
            RefusedError: it is no signed message, the key is unknown, or the signature does not hold.
        """
        return await asyncio.to_thread(self._opened, signed, purpose)

    def _opened(self, signed: bytes, purpose: str) -> tuple[Mapping[str, Any], Operator]:
        payload, key_id = cose_sign1.verify(
            signed, self._keys, context=purpose.encode(), most_bytes=COMMAND_MOST_BYTES
        )
        return cose_sign1.read_map(payload), self._operators[key_id]


def load_operators(settings: tuple[OperatorSettings, ...]) -> OperatorKeys:
    """The keys that the configuration names.

    Raises:
        InvalidConfigError: a file is no public key, or a key is there twice.
    """
    operators: list[tuple[bytes, Operator]] = []
    for each in settings:
        public = each.public if each.file is None else read_public_key(each.file)
        operator = Operator(cose_sign1.key_id_of(public), each.name, each.may, each.components)
        if any(public == other for other, _ in operators):
            raise InvalidConfigError(
                f"Two of [[fleet.operators]] have the key {operator.key_id[:16]}, so that it is not clear what it may.",
                hint="Name each key once, with all that it may.",
            )
        operators.append((public, operator))
    return OperatorKeys(tuple(operators))


def read_public_key(file: Path) -> bytes:
    """The 32 bytes of a '.pub' file.

    Raises:
        InvalidConfigError: it is none.
    """
    content = read_bounded(file, _KEY_FILE_MOST_BYTES)
    try:
        document = read_json(content or b"")
        public = bytes.fromhex(document["keyval"]["public"])
        cose_sign1.key_id_of(public)
    except (RefusedError, KeyError, TypeError, ValueError):
        raise InvalidConfigError(
            f"{file} is no public Ed25519 key.", hint="It is the '.pub' file that 'edgehost keygen' writes."
        ) from None
    return public
