"""What an operator may ask of the running host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edgehost.ports.agent_control import AgentControl
from edgehost.ports.board_control import BoardControl
from edgehost.ports.certificate_control import CertificateControl
from edgehost.ports.device_control import DeviceControl


class HostControl(Protocol):
    """Answers are ready for JSON. Errors are EdgehostErrors and reach the operator as they are."""

    async def status(self) -> Mapping[str, Any]:
        """Who this host is, since when it runs, what is live, how its remotes are."""
        ...

    async def doctor(self) -> Sequence[Mapping[str, Any]]:
        """Findings: ``{"subject", "state": "ok"|"note"|"wrong", "what", "advice"}``."""
        ...

    async def logs(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The last lines that components logged, oldest first: ``{"at", "component", "level", "message"}``."""
        ...

    async def releases(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The ledger, oldest first; of one component when it is named."""
        ...

    async def instances(self) -> Sequence[Mapping[str, Any]]:
        """Every sandbox: component, version, process id, state, calls, memory."""
        ...

    async def deployments(self) -> Sequence[Mapping[str, Any]]:
        """The deployments that are held, each with its state and the standing of its components."""
        ...

    async def plan_deployments(self, document: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What would change now, for what is held or for a document; a dry run.

        Raises:
            InvalidSpecificationError: the document is none that a host would follow.
        """
        ...

    async def deploy(self, component: str, version: str | None = None) -> Mapping[str, Any]:
        """Bring a release live, the newest one on offer when no version is given; returns it."""
        ...

    async def rollback(self, component: str) -> Mapping[str, Any]:
        """Bring the last good release before the live one back; returns it."""
        ...

    async def withdraw(self, component: str) -> Mapping[str, Any]:
        """Take a component out of service until it is deployed again; returns what was live, or nothing."""
        ...

    async def traffic(self, component: str) -> Mapping[str, Any]:
        """How a component's calls are divided between its versions, and what came of it."""
        ...

    async def change_traffic(self, component: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give candidates their shares, promote one or stop one; returns what ``traffic`` does."""
        ...

    async def unquarantine(self, digest: str) -> Mapping[str, Any]:
        """Let a quarantined release be tried again; returns it."""
        ...

    async def refresh(self, remote: str | None = None) -> Mapping[str, Any]:
        """Look at the remotes now, or at one of them; returns how each is."""
        ...

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the live release of a component; returns its output."""
        ...

    async def bindings(self) -> Mapping[str, Any]:
        """Every port, adapter and service with where it leads and how it is, and what operators bound."""
        ...

    async def bind(self, what: str, target: str) -> Mapping[str, Any]:
        """Bind ``MODEL.PORT`` to an adapter or an adapter to a service; "" takes that back; returns all of it."""
        ...

    async def workflow(self, model: str | None = None) -> Mapping[str, Any]:
        """Ports and the events between them, of one model or of all: nodes, edges, and a picture in Mermaid."""
        ...

    async def workflow_history(self, model: str, record_id: str) -> Mapping[str, Any]:
        """The port history of a record: its state and every step."""
        ...

    async def workflow_undo(self, model: str, record_id: str) -> Mapping[str, Any]:
        """Begin to take back what was done for a record; returns its history."""
        ...

    async def list_pipelines(self) -> Sequence[Mapping[str, Any]]:
        """The pipelines: name, steps, and the events that start them."""
        ...

    async def run_pipeline(self, name: str, payload: bytes) -> bytes:
        """What comes out at the end of a pipeline."""
        ...

    async def view(self, details: str, model: str = "") -> Mapping[str, Any]:
        """What is served and how it is, of one model where it is named.

        ``details``: models, ports, events, relations, bindings, sandboxes, commands, sources or traffic.
        """
        ...

    def boards(self) -> BoardControl:
        """The boards on the lines of this machine.

        Raises:
            NotFoundError: this host looks after none, since it runs inside another program.
        """
        ...

    def devices(self) -> DeviceControl:
        """The devices that this host bridges.

        Raises:
            NotFoundError: it bridges none.
        """
        ...

    def renewals(self) -> CertificateControl:
        """The certificates that this host renews.

        Raises:
            NotFoundError: it renews none.
        """
        ...

    def agent(self) -> AgentControl:
        """The agent's own life: configurations, mode, crashes.

        Raises:
            NotFoundError: this host has none, since it runs inside another program.
        """
        ...

    async def diag(self) -> bytes:
        """A tar.gz for whoever helps: status, doctor, configuration, ledger, logs, crashes; no secrets, at most 12 MiB.

        Raises:
            NotFoundError: this host makes none, since it runs inside another program.
        """
        ...

    async def stop(self) -> None:
        """Begin to end; returns at once."""
        ...
