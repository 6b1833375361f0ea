"""Who may do what with a model's records.

Rule 1: between components nothing is allowed unless the model's rule for the permission allows it, whatever the
        caller was granted; a component may do everything with its own model.
Rule 2: ``deny`` wins over ``allow``.
Rule 3: whoever holds the host's own token or its local socket is its operator and may do everything.
Rule 4: a token with roles may do what a rule leaves open: a rule that allows roles asks for one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import NotGrantedError
from edgehost.domain.model_spec import ROLE, AccessRule, ModelSpec

ANYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class Caller:
    """A component, or a client of the API; without either, the operator."""

    component: str = ""
    roles: frozenset[str] = frozenset()

    @property
    def is_operator(self) -> bool:
        """Whether no rule holds for it."""
        return not self.component and not self.roles

    def __str__(self) -> str:
        if self.component:
            return f"'{self.component}'"
        return f"a client with the role {', '.join(sorted(self.roles))}" if self.roles else "the operator"


OPERATOR: Final = Caller()


def may(model: ModelSpec, owner: str, caller: Caller, permission: str) -> bool:
    """Whether the caller may do this with the model that the component ``owner`` brings."""
    if caller.is_operator or caller.component == owner:
        return True
    rule = model.access.get(permission, AccessRule())
    if caller.component:
        names = {caller.component, ANYBODY}
        return names.isdisjoint(rule.deny) and not names.isdisjoint(rule.allow)
    names = {ANYBODY, *(f"{ROLE}{role}" for role in caller.roles)}
    if not names.isdisjoint(rule.deny):
        return False
    asks_for_a_role = any(name.startswith(ROLE) for name in rule.allow)
    return not asks_for_a_role or not names.isdisjoint(rule.allow)


def require_access(model: ModelSpec, owner: str, caller: Caller, permissions: Iterable[str]) -> None:
    """Check that the caller has every one of these permissions.

    Raises:
        NotGrantedError: the first that it does not have.
    """
    for permission in permissions:
        if not may(model, owner, caller, permission):
            named = caller.component or "role:NAME"
            raise NotGrantedError(
                f"'{model.name}' does not let {caller} {_VERBS[permission]}.",
                hint=f"Name '{named}' in model.access.{permission}.allow of the component '{owner}'.",
            )


_VERBS: Final = {
    "read": "read its records",
    "create": "create records",
    "update": "update its records",
    "delete": "delete its records",
    "command": "call its commands",
    "port": "call its ports",
    "relation": "follow relations to it",
}
