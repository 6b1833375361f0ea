"""Compare a value with a stored hash: the only thing that can be done with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.domain.errors import InvalidRecordError, UnavailableError
from edgehost.domain.model_consistency import hashed_members
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.complete_record import MOST_HASHED_CHARACTERS
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping


async def verify_members(
    keeping: RecordKeeping, model: LiveModel, record_id: str, args: object
) -> Mapping[str, Any]:
    """Whether the record's hashed members are these: ``{"password": "guess"}`` gives ``{"verified": false}``.

    Raises:
        NotFoundError: there is no such record.
        InvalidRecordError: what is given is no object of hashed members and texts.
        BusyError: too many values are being compared; it is slow on purpose.
    """
    members = hashed_members(model.spec)
    if not isinstance(args, Mapping) or not args:
        raise InvalidRecordError(
            "Give the values to be compared as an object.", hint=f'{{"{min(members)}": "value"}}'
        )
    for member, value in args.items():
        if member not in members:
            raise InvalidRecordError(
                f"'{member[:80]}' is not stored hashed.", hint=did_you_mean(member[:80], members)
            )
        if not isinstance(value, str) or len(value) > MOST_HASHED_CHARACTERS:
            raise InvalidRecordError(
                f"'{member}' must be a text of at most {MOST_HASHED_CHARACTERS} characters."
            )
    record = await keeping.require(model, record_id)
    if keeping.hasher is None:
        raise UnavailableError("This host has nothing to compare hashes with.")
    verified = True
    for member, value in args.items():
        stored = record.withheld.get(member)
        # Every member is compared, so that the time does not tell which one was wrong.
        verified &= stored is not None and await keeping.hasher.fits(value, stored)
    return {"verified": verified}
