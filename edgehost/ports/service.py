"""What the host can do for adapters: the services that it is configured with, its own and those of plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """How a service is: ``ok``, ``warning`` (it may come back) or ``failed`` (somebody must do something)."""

    state: str = "ok"
    detail: str = ""
    hint: str = ""


#: Tells a fact of the service's own: (its name for it, data ready for JSON). Never waits.
ServiceNotice = Callable[[str, Any], None]


class Service(Protocol):
    """Functions that take JSON and answer JSON, and facts that come by themselves."""

    @property
    def functions(self) -> Mapping[str, str]:
        """What can be called, and a sentence for each; the first one is meant when none is named."""
        ...

    @property
    def events(self) -> Mapping[str, str]:
        """What it may tell by itself, and a sentence for each."""
        ...

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        """The answer, ready for JSON; a cancelled call leaves nothing running behind.

        Raises:
            NotFoundError: there is no such function.
            RefusedError: the input is wrong, or asks for more than the service may do.
            TooLargeError: input or answer passes the service's limit.
            UnavailableError: not now; another try may succeed.
        """
        ...

    def health(self) -> ServiceHealth:
        """How it is now, without asking the world."""
        ...


#: Opens a service under a name, with its options; leaving the block ends all that it runs.
ServiceOpener = Callable[[str, Mapping[str, Any], ServiceNotice], AbstractAsyncContextManager[Service]]
