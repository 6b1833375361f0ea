"""What an operator sees of workflows, and may do to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.domain.errors import NotFoundError
from edgehost.domain.workflow_document import flow_document
from edgehost.domain.workflow_graph import graph_document, mermaid
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.run_workflow import Workflows


def workflow_view(models: LiveModels, model: str | None) -> Mapping[str, Any]:
    """The ports of the live models and the events between them, also as a picture; of one model when it is named.

    Raises:
        NotFoundError: no such model is live.
    """
    table = models.table
    chosen = (table.named(model),) if model is not None else tuple(table.by_name.values())
    graph = graph_document(each.spec for each in chosen)
    return {**graph, "mermaid": mermaid(graph)}


async def history_view(workflows: Workflows, model: str, record_id: str) -> Mapping[str, Any]:
    """The port history of a record.

    Raises:
        NotFoundError: it has none.
    """
    flow = await workflows.history.get(model, record_id)
    if flow is None:
        raise NotFoundError(
            f"'{model[:80]}' has no port history of '{record_id[:128]}'.",
            hint="Only records whose model has ports that consume or produce events have one.",
        )
    return {"model": model, "id": record_id, **flow_document(flow)}


async def order_undo(workflows: Workflows, model: str, record_id: str) -> Mapping[str, Any]:
    """Take back what was done for a record; returns its history as it stands now.

    Raises:
        NotFoundError: it has none.
        ConflictError: it is taken back already.
    """
    await workflows.undo(model, record_id, "An operator asked for it.")
    return await history_view(workflows, model, record_id)
