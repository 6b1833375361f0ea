"""The host function ``related``: a guest follows a relation of its own model, or creates a record across it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.errors import NotFoundError, NotGrantedError
from edgehost.domain.record_query import DEFAULT_PAGE
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.follow_relation import Relations, create_related, follow_relation
from edgehost.usecases.host_functions import MoreFunction
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import record_document

#: What a guest of common size has room for, beside its own work.
_FOUND_BYTES: Final = 512 * 1024


def related_function(relations: Relations) -> Mapping[str, MoreFunction]:
    """The function by its name; whether a component may use it is checked before."""

    async def related(component: str, context: CallContext, request: SpecReader) -> Mapping[str, Any]:
        model = _own_model(relations, component, request.text("model", default=""))
        record_id, relation = request.text("id"), request.text("relation")
        if request.has("create"):
            data = request.document("create")
            request.refuse_unknown()
            context.acting(f"The relation '{relation[:80]}'")
            record = await relations.keeping.require(model, record_id)
            made = await create_related(relations, model, record, relation, data, context=context)
            return {"record": record_document(made)}
        limit = request.whole("limit", least=1, most=1000, default=DEFAULT_PAGE)
        cursor = request.text("cursor", default="", longest=2048)
        request.refuse_unknown()
        record = await relations.keeping.require(model, record_id)
        found = await follow_relation(
            relations,
            model,
            record,
            relation,
            limit=limit,
            cursor=cursor,
            most_bytes=_FOUND_BYTES,
            context=context,
        )
        return {
            "model": found.model,
            "records": [record_document(each) for each in found.records],
            "next_cursor": found.next_cursor,
        }

    return {"related": related}


def _own_model(relations: Relations, component: str, name: str) -> LiveModel:
    models = relations.models.table.by_name.values()
    own = next((each for each in models if each.component == component), None)
    if own is None:
        raise NotFoundError(f"'{component}' is no model that is live.")
    if name and name != own.spec.name:
        raise NotGrantedError(
            f"'{name[:80]}' is not the model of '{component}'.",
            hint="Only relations of a component's own model are followed; call the other component.",
        )
    return own
