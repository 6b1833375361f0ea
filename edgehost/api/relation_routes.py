"""Relations: followed from a record, included in answers, and records created at their other end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.calling import context_of
from edgehost.api.filters import read_limit
from edgehost.api.permissions import require_permissions, require_relations
from edgehost.api.reading import query_parameters, read_json_body, take_id
from edgehost.api.responses import json_response, record_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import InvalidQueryError, InvalidRecordError, NotFoundError
from edgehost.domain.record import Record
from edgehost.domain.record_query import DEFAULT_PAGE
from edgehost.usecases.follow_relation import Relations, create_related, follow_relation, relation_of
from edgehost.usecases.include_relations import include_relations, read_include
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.show_record import shown


class RelationRoutes:
    """Answers ``?relation=``, ``?include=`` and ``<id>/relations/<name>``."""

    def __init__(self, rooms: ApiRooms) -> None:
        self._rooms = rooms

    async def related(self, request: Request, model: LiveModel, record_id: str, name: str) -> Response:
        """The records that the relation leads to: ``{"relation", "model", "records", "next_cursor"}``.

        Raises:
            NotFoundError, NotGrantedError, InvalidQueryError, GuestError: as for ``follow_relation``.
        """
        options = _options(request, {"relation", "limit", "cursor"})
        relation_of(model, name)
        require_relations(request, self._rooms.models, model, {name: {}})
        relations = self._relations()
        record = await relations.keeping.require(model, record_id)
        found = await follow_relation(
            relations,
            model,
            record,
            name,
            limit=read_limit(options.get("limit", str(DEFAULT_PAGE))),
            cursor=options.get("cursor", ""),
            context=context_of(request, model),
        )
        records = await self._shown(found.model, found.records)
        return json_response(
            {
                "relation": name,
                "model": found.model,
                "records": [record_document(each) for each in records],
                "next_cursor": found.next_cursor,
            }
        )

    async def create(self, request: Request, model: LiveModel, record_id: str, name: str) -> Response:
        """A new record at the other end.

        Raises:
            NotFoundError, NotGrantedError, ConflictError, InvalidRecordError: as for ``create_related``.
        """
        relation = relation_of(model, name)
        require_relations(request, self._rooms.models, model, {name: {}})
        require_permissions(request, self._rooms.models.table.named(relation.model), "create")
        relations = self._relations()
        data, _ = await read_json_body(request, limit_bytes=self._rooms.body_bytes)
        if not isinstance(data, dict):
            raise InvalidRecordError("A record's data must be a JSON object.")
        wanted = take_id(data)
        record = await relations.keeping.require(model, record_id)
        made = await create_related(
            relations, model, record, name, data, record_id=wanted, context=context_of(request, model)
        )
        target = self._rooms.models.table.named(relation.model)
        (told,) = await shown(relations.keeping, target, [made])
        location = f"{self._rooms.root}/models/{target.spec.endpoint}/{quote(made.id)}"
        return record_response(told, HTTPStatus.CREATED, {"location": location})

    async def included(
        self, request: Request, model: LiveModel, records: Sequence[Record], text: str
    ) -> Sequence[Mapping[str, Any]]:
        """The records with what they are related to under ``related``.

        Raises:
            InvalidQueryError, NotFoundError, NotGrantedError, TooLargeError, GuestError.
        """
        include = read_include(model, text)
        require_relations(request, self._rooms.models, model, include)
        return await include_relations(self._relations(), model, records, include)

    async def item(self, request: Request, model: LiveModel, record_id: str) -> Response | None:
        """The answer that ``?relation=`` or ``?include=`` asks for in place of the record; None without them.

        Raises:
            InvalidQueryError: both are given, or something else; and what the two raise.
        """
        options = _options(request, {"relation", "include", "limit", "cursor"})
        if "limit" in options:
            read_limit(options["limit"])
        if "relation" in options:
            return await self.related(request, model, record_id, options["relation"])
        if "include" not in options:
            return None
        record = await self._rooms.keeping.require(model, record_id)
        (document,) = await self.included(request, model, [record], options["include"])
        return json_response(document)

    def _relations(self) -> Relations:
        if self._rooms.relations is None:
            raise NotFoundError("This host follows no relations.")
        return self._rooms.relations

    async def _shown(self, model: str, records: Sequence[Record]) -> Sequence[Record]:
        target = self._rooms.models.table.by_name.get(model)
        if target is None:  # of another host, which has shown what it shows
            return records
        return await shown(self._rooms.keeping, target, records)


def _options(request: Request, known: set[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, text in query_parameters(request):
        if name not in known or name in options:
            what = "given twice" if name in options else "unknown here"
            raise InvalidQueryError(f"{name[:80]!r} is {what}.", hint=f"Known: {', '.join(sorted(known))}.")
        options[name] = text
    return options
