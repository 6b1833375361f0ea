"""The object broker: any model's record by model and id, wherever the model is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgehost.domain.record import Record, require_record_id
from edgehost.ports.record_store import RecordStore
from edgehost.usecases.live_models import LiveModels


class RemoteInstances(Protocol):
    """Records of models that other hosts serve."""

    async def find(self, model: str, record_id: str) -> Record | None:
        """The record, or None when no host that can be reached has it."""
        ...


class NoRemoteInstances:
    """A host on its own."""

    async def find(self, model: str, record_id: str) -> Record | None:  # noqa: ARG002 - as in RemoteInstances
        """None: there is nobody to ask."""
        return None


@dataclass(frozen=True, slots=True)
class ObjectBroker:
    """Finds records of local models in the store, of all others elsewhere."""

    store: RecordStore
    models: LiveModels
    elsewhere: RemoteInstances = field(default_factory=NoRemoteInstances)

    def is_local(self, model: str) -> bool:
        """Whether this host serves the model."""
        return model in self.models.table.by_name

    async def find(self, model: str, record_id: str) -> Record | None:
        """The record, or None.

        Raises:
            InvalidRecordError: the id cannot be one.
        """
        require_record_id(record_id)
        if self.is_local(model):
            return await self.store.get(model, record_id)
        return await self.elsewhere.find(model, record_id)
