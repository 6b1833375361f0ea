"""What is asked of a device while its link is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from edgehost.adapters.boards import device_resources as resources
from edgehost.adapters.boards.device_view import DeviceView
from edgehost.adapters.boards.line_conversation import Conversation
from edgehost.domain.device import DeviceSlots
from edgehost.domain.errors import UnavailableError
from firmware_bridge.coap_exchange import JSON, Asked, Response
from firmware_bridge.coap_message import Method


class DeviceRequests:
    """The verbs of Device; ``_talk`` is whoever keeps the link's to set."""

    def __init__(self, view: DeviceView) -> None:
        self._view = view
        self._talk: Conversation | None = None
        self._turn = asyncio.Lock()  # one transfer at a time

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the component that runs there."""
        identity = self._view.state.identity
        if identity is not None:
            resources.require_body(payload, identity)
        asked = self._asked(
            Method.POST, resources.call_path(component, function), payload, media=JSON if payload else None
        )
        return resources.require_called(await self.ask(asked), self._name)

    async def slots(self) -> DeviceSlots:
        """What runs and what is on its way, asked for now."""
        slots = resources.slots_of(await self.ask(Asked(Method.GET, "slot")))
        self._view.change(slots=slots)
        return slots

    async def prepare(self, wasm: bytes, manifest: bytes, progress: Callable[[int, int], None]) -> None:
        """Bring the component into the spare slot, going on where an earlier try ended."""
        async with self._turn:
            response = await self.ask(self._asked(Method.PUT, "slot/manifest", manifest))
            have = resources.transfer_of(response, len(wasm))
            progress(have, len(wasm))
            while have < len(wasm):
                asked = replace(self._asked(Method.PUT, "slot/image", wasm, offset=have), gives_way=True)
                response = await self.ask(asked, lambda done: progress(min(done, len(wasm)), len(wasm)))
                before, have = have, resources.transfer_of(response, len(wasm))
                if have <= before:
                    raise UnavailableError(f"{self._name} takes no more of the component.", hint="Try again.")
            progress(have, len(wasm))

    async def commit(self) -> None:
        """Check and probe what is in the spare slot, and run it."""
        async with self._turn:
            resources.require_done(await self.ask(Asked(Method.POST, "slot/commit")))
        await self.slots()

    async def roll_back(self) -> None:
        """Run the release before."""
        async with self._turn:
            resources.require_done(await self.ask(Asked(Method.POST, "slot/rollback")))
        await self.slots()

    async def reset(self) -> None:
        """Begin anew."""
        resources.require_done(await self.ask(Asked(Method.POST, "reset")))

    async def log(self) -> str:
        """The last lines that it kept."""
        response = await self.ask(Asked(Method.GET, "log"))
        resources.require_done(response)
        return response.text

    async def ask(self, asked: Asked, progress: Callable[[int], None] | None = None) -> Response:
        """One request with all of its blocks.

        Raises:
            UnavailableError: the device is offline, or does not answer.
        """
        state = self._view.state
        if self._talk is None or not state.online:
            raise UnavailableError(
                f"The device '{self._name}' is offline: {state.reason}",
                hint="'edgehost bridge ls' shows the devices.",
            )
        return await self._talk.ask(asked, progress)

    @property
    def _name(self) -> str:
        return self._view.settings.name

    def _asked(
        self, method: Method, path: str, payload: bytes, *, media: int | None = None, offset: int = 0
    ) -> Asked:
        identity = self._view.state.identity
        block_bytes = 64 if identity is None else identity.block_bytes
        return Asked(method, path, payload, format=media, offset=offset, block_bytes=block_bytes)
