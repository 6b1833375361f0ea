"""Whether one component may reach another's records across a relation: both have to say so."""

from __future__ import annotations

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
    rule = target.spec.access.get("relation")
    allowed = rule is not None and (component in rule.allow or "*" in rule.allow)
    denied = rule is not None and (component in rule.deny or "*" in rule.deny)
    if denied or not allowed:
        raise NotGrantedError(
            f"'{target.spec.name}' does not let '{component}' follow relations to it.",
            hint=f"Name '{component}' in access.relation.allow of the component '{target.component}'.",
        )
