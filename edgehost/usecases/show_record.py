"""A record as it leaves this host: over the API, and in events.

Rule 1: network serializers hold wherever data leaves the process; guests on this host see the data itself.
Rule 2: events go to whoever listens, so an encrypted member is in them only when a serializer says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from edgehost.domain.errors import EdgehostError
from edgehost.domain.events import RecordCreated, RecordUpdated
from edgehost.domain.model_consistency import encrypted_members
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.convert_values import convert_values
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: What stands in place of a masked value; it tells neither its length nor its type.
MASK: Final = "***"


async def shown(
    keeping: RecordKeeping,
    model: LiveModel,
    records: Sequence[Record],
    *,
    context: CallContext = CallContext(),
) -> Sequence[Record]:
    """These records of the model with the data that the network may see.

    Raises:
        GuestError: an export that serializes a member failed.
    """
    on_network = [each for each in model.spec.serializers if each.on == "network"]
    if not on_network or not records:
        return records
    told = [dict(record.data) for record in records]
    for serializer in on_network:
        having = [data for data in told if serializer.key in data]
        match serializer.action:
            case "omit":
                for data in having:
                    del data[serializer.key]
            case "mask":
                for data in having:
                    data[serializer.key] = MASK
            case _:
                values = await convert_values(
                    keeping.components,
                    model.component,
                    serializer.export,
                    serializer.key,
                    [data[serializer.key] for data in having],
                    context=context,
                )
                for data, value in zip(having, values, strict=True):
                    data[serializer.key] = value
    return [replace(record, data=data) for record, data in zip(records, told, strict=True)]


async def show(keeping: RecordKeeping, model: LiveModel, record: Record) -> Record:
    """One record with the data that the network may see.

    Raises:
        GuestError: an export that serializes a member failed.
    """
    return (await shown(keeping, model, [record]))[0]


async def stored_event(
    kind: type[RecordCreated | RecordUpdated],
    keeping: RecordKeeping,
    model: LiveModel,
    record: Record,
    *,
    context: CallContext,
) -> RecordCreated | RecordUpdated:
    """The fact that the record is new, or has a new revision."""
    return kind(
        at=record.updated_at,
        model=record.model,
        id=record.id,
        revision=record.revision,
        domain=domain_of(model.spec),
        data=await _told(keeping, model, record, context),
    )


def domain_of(model: ModelSpec) -> str:
    """The bounded context of the model."""
    return model.domain or model.name


async def _told(
    keeping: RecordKeeping, model: LiveModel, record: Record, context: CallContext
) -> Mapping[str, Any]:
    serialized = {each.key for each in model.spec.serializers if each.on == "network"}
    secret = encrypted_members(model.spec) - serialized
    told = (
        replace(record, data={name: value for name, value in record.data.items() if name not in secret})
        if secret
        else record
    )
    try:
        return (await shown(keeping, model, [told], context=context))[0].data
    except EdgehostError:
        # The record is stored: that is told, without what its export could not put into words.
        failed = {each.key for each in model.spec.serializers if each.on == "network" and each.export}
        rest = {name: value for name, value in told.data.items() if name not in failed}
        return (await shown(keeping, _without_exports(model), [replace(told, data=rest)]))[0].data


def _without_exports(model: LiveModel) -> LiveModel:
    kept = tuple(each for each in model.spec.serializers if not each.export)
    return replace(model, spec=replace(model.spec, serializers=kept))
