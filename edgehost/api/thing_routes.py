"""Thing Descriptions: one of each model, and the directory of all."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.permissions import caller_of
from edgehost.api.responses import handler_for
from edgehost.api.rooms import ApiRooms
from edgehost.api.thing_description import MEDIA_TYPE, ThingPlaces, thing_description, thing_id
from edgehost.domain.access_rules import may
from edgehost.domain.errors import NotFoundError
from edgehost.domain.json_text import tell_json
from edgehost.usecases.live_models import LiveModel


@dataclass(frozen=True, slots=True)
class ThingRoutes:
    """Answers ``things`` and ``models/<endpoint>/td``; made anew for each request, as the models are."""

    rooms: ApiRooms
    host_name: str
    has_token: bool
    brokers: tuple[str, ...] = ()
    coap_base: str = ""

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The directory (WoT Discovery, section 7), or one thing by its id.

        Raises:
            NotFoundError: there is no such thing.
        """
        handler_for(request, {"GET": self})
        caller, places = caller_of(request), self._places(request)
        models = [
            model
            for model in self.rooms.models.table.by_endpoint.values()
            if may(model.spec, model.component, caller, "read")
        ]
        match path:
            case [] | [""]:
                things = [thing_description(model, places) for model in models]
                return Response(tell_json(things), media_type="application/ld+json")
            case [identity]:
                for model in models:
                    if thing_id(model, places) == identity:
                        return self.describe(request, model)
            case _:
                pass
        raise NotFoundError(
            f"There is no thing '{'/'.join(path)[:120]}'.", hint=f"See {self.rooms.root}/things."
        )

    def describe(self, request: Request, model: LiveModel) -> Response:
        """The description of one model."""
        return Response(tell_json(thing_description(model, self._places(request))), media_type=MEDIA_TYPE)

    def _places(self, request: Request) -> ThingPlaces:
        base = str(request.base_url).rstrip("/") + self.rooms.root + "/"
        return ThingPlaces(base, self.host_name, self.has_token, self.brokers, self.coap_base)
