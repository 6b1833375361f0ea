"""What a client may do with a model, by the roles of its token; the operator may do everything.

The rules themselves are the models' own: see ``domain.access_rules``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import HTTPConnection

from edgehost.api.problems import ForbiddenError
from edgehost.domain.access_rules import OPERATOR, Caller, may, require_access
from edgehost.domain.errors import NotGrantedError
from edgehost.domain.events import Event, RecordEvent
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.run_command import permissions_for

#: Where the application leaves the client that it let in.
CALLER: Final = "edgehost.caller"

_BY_METHOD: Final = {"GET": "read", "HEAD": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}


def caller_of(connection: HTTPConnection) -> Caller:
    """Who sent the request."""
    caller = connection.scope.get(CALLER, OPERATOR)
    return caller if isinstance(caller, Caller) else OPERATOR


def require_own_page(connection: HTTPConnection) -> None:
    """Refuse what a page of another site makes a browser ask; even an image of it could act on the world by a GET.

    Raises:
        ForbiddenError: a browser says that it is.
    """
    if connection.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise ForbiddenError(
            "The request comes from a page of another site.", hint="Pages of other sites may not act here."
        )


def require_permissions(connection: HTTPConnection, model: LiveModel, *permissions: str) -> None:
    """Check that the client may do this with the model.

    Raises:
        ForbiddenError: its roles do not allow it.
    """
    try:
        require_access(model.spec, model.component, caller_of(connection), permissions)
    except NotGrantedError as error:
        raise ForbiddenError(error.message, hint=error.hint) from None


def require_path(connection: HTTPConnection, model: LiveModel, path: tuple[str, ...]) -> None:
    """Check a request to ``models/<endpoint>/...``; ``path`` is what follows the endpoint.

    What a relation or a port asks of models is checked where it is answered.

    Raises:
        ForbiddenError: the client's roles do not allow it.
    """
    match path:
        case [_, "commands", command]:
            require_permissions(connection, model, *permissions_for(model.spec, command))
        case [_, "relations", _]:
            require_permissions(connection, model, "read")
        case ["ports", _] | [_, "ports", _]:
            require_permissions(connection, model, "port")
        case _:
            permission = _BY_METHOD.get(str(connection.scope.get("method", "GET")))
            if permission is not None:
                require_permissions(connection, model, permission)


def require_relations(
    connection: HTTPConnection, models: LiveModels, model: LiveModel, include: Mapping[str, Any]
) -> None:
    """Check that the client may follow these relations, and those behind them; a tree of names.

    Raises:
        ForbiddenError: its roles do not allow it.
    """
    if caller_of(connection).is_operator:
        return
    for name, below in include.items():
        relation = model.spec.relations.get(name)
        target = None if relation is None else models.table.by_name.get(relation.model)
        if target is not None:
            require_permissions(connection, target, "relation", "read")
            require_relations(connection, models, target, below)


def may_hear(caller: Caller, models: LiveModels, event: Event) -> bool:
    """Whether the client may know of the event: with roles, only of records that it may read."""
    if caller.is_operator:
        return True
    if not isinstance(event, RecordEvent):
        return False
    model = models.table.by_name.get(event.model)
    return model is not None and may(model.spec, model.component, caller, "read")
