"""What leads where: a port to an adapter, an adapter to a service.

Three say so, the first that does holds: the operator while the host runs, the host's configuration, the
component's own specification. A port's target may name the service as well, for this port alone:
``ADAPTER:SERVICE``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import RefusedError
from edgehost.domain.names import NAME
from edgehost.domain.port_spec import PortSpec

#: The built-in adapter: the port's arguments go to the service as they are.
DIRECT: Final = "direct"
#: So many bindings of its own may a host have.
MOST_BINDINGS: Final = 2000

_PORT: Final = re.compile(rf"({NAME.pattern})\.({NAME.pattern})")
_PORT_TARGET: Final = re.compile(rf"({NAME.pattern})(:({NAME.pattern}))?")


class Origin(enum.StrEnum):
    """Who said so, the strongest first."""

    OPERATOR = "operator"
    CONFIG = "config"
    DECLARED = "declared"
    ASSUMED = "assumed"  # nobody did


@dataclass(frozen=True, slots=True)
class Binding:
    """Where something leads, and who said so."""

    target: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class BindingTable:
    """The bindings of operator and configuration at one moment: ``model.port`` or adapter, to target."""

    operator: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)

    def adapter_of(self, model: str, port: str, spec: PortSpec, *, has_own: bool) -> Binding:
        """The adapter of a port; ``has_own`` says that an adapter of the port's own name is there."""
        if (said := self._said(f"{model}.{port}")) is not None:
            return Binding(split_target(said.target)[0], said.origin)
        if spec.adapter:
            return Binding(spec.adapter, Origin.DECLARED)
        return Binding(port if has_own else DIRECT, Origin.ASSUMED)

    def service_of(self, adapter: str, declared: str, *, port: tuple[str, PortSpec] | None = None) -> Binding:
        """The service of an adapter, for a port (``model.port`` and its specification) or for itself.

        ``declared`` is what the adapter's own specification says. Without any service the target is empty.
        """
        if port is not None and (said := self._said(port[0])) is not None:
            own_adapter, service = split_target(said.target)
            if service and own_adapter == adapter:
                return Binding(service, said.origin)
        if adapter != DIRECT and (said := self._said(adapter)) is not None:
            return said
        of_port = port[1].service if port is not None else ""
        if of_port or declared:
            return Binding(of_port or declared, Origin.DECLARED)
        return Binding("", Origin.ASSUMED)

    def _said(self, what: str) -> Binding | None:
        if what in self.operator:
            return Binding(self.operator[what], Origin.OPERATOR)
        if what in self.config:
            return Binding(self.config[what], Origin.CONFIG)
        return None


def read_port_name(what: str) -> tuple[str, str] | None:
    """Model and port in ``MODEL.PORT``; None when it names an adapter."""
    match = _PORT.fullmatch(what)
    return None if match is None else (match[1], match[2])


def require_binding(what: str, target: str) -> None:
    """Check the form of a binding.

    Raises:
        RefusedError: one of the two is no name, or the built-in adapter would be bound for all its ports.
    """
    if read_port_name(what) is not None:
        if not _PORT_TARGET.fullmatch(target):
            raise RefusedError(
                f"{target[:80]!r} is no adapter.", hint="Write ADAPTER or ADAPTER:SERVICE, in lower case."
            )
        return
    if not NAME.fullmatch(what):
        raise RefusedError(f"{what[:80]!r} is neither MODEL.PORT nor an adapter's name.")
    if what == DIRECT:
        raise RefusedError(
            f"'{DIRECT}' serves many ports, so it has no service of its own.",
            hint=f"Bind the port: 'edgehost bind MODEL.PORT {DIRECT}:SERVICE'.",
        )
    if not NAME.fullmatch(target):
        raise RefusedError(f"{target[:80]!r} is no service's name.")


def split_target(target: str) -> tuple[str, str]:
    """Adapter and service in a port's target; the service may be empty."""
    adapter, _, service = target.partition(":")
    return adapter, service
