"""Whether one component may reach another's records across a relation: both have to say so."""

from __future__ import annotations

from edgehost.domain.access_rules import Caller, require_access
from edgehost.domain.component_spec import Grants
from edgehost.domain.errors import NotGrantedError
from edgehost.usecases.live_models import LiveModel


def require_consent(component: str, grants: Grants, target: LiveModel) -> None:
    """Check that the component may follow a relation to the model: nothing by default, all of it to one's own.

    Raises:
        NotGrantedError: it was not granted the model, or the model does not let it.
    """
    if component == target.component:
        return
    if target.spec.name not in grants.models:
        raise NotGrantedError(
            f"'{component}' was not granted the model '{target.spec.name}'.",
            hint="Name it under grants.models in its component.toml.",
        )
    require_access(target.spec, target.component, Caller(component), ["relation"])
