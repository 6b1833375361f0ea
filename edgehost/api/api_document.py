"""The OpenAPI document as a resource; what makes it is imported when it is first asked for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.reading import JSON
from edgehost.api.responses import handler_for
from edgehost.domain.errors import NotFoundError
from edgehost.domain.json_text import write_json
from edgehost.usecases.live_models import LiveModels, ModelTable


class ApiDocument:
    """Made when it is first asked for after a change of the models."""

    def __init__(self, models: LiveModels, *, root: str, title: str, version: str) -> None:
        self._models = models
        self._root = root
        self._info = {"title": f"edgehost on {title}", "version": version or "0"}
        self._made: tuple[ModelTable, bytes] | None = None

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The document."""
        if path:
            raise NotFoundError("The document has no parts.", hint=f"Get {self._root}/openapi.json.")
        handler_for(request, {"GET": self.answer})
        table = self._models.table
        if self._made is None or self._made[0] is not table:
            from edgehost.api.openapi import openapi_document  # noqa: PLC0415 - a megabyte that few hosts need

            self._made = (table, write_json(openapi_document(table, root=self._root, info=self._info)))
        return Response(self._made[1], media_type=JSON)
