"""The host's configurations by number: propose, confirm, go back. Nothing is kept that the host could not read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from edgehost.domain.config_generation import Generation, Generations, Standing
from edgehost.domain.errors import NotFoundError, RefusedError, UnavailableError
from edgehost.ports.host_life import GenerationStore

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True, slots=True)
class Chosen(Generic[ConfigT]):
    """What a start runs on."""

    generation: Generation
    config: ConfigT
    is_new: bool = False  # this start is the first to see it
    refused: str = ""  # why the configuration file was not taken; empty: it was


class ConfigurationGenerations(Generic[ConfigT]):
    """All calls block for a few milliseconds; ``read`` makes a configuration of a text, or refuses it."""

    def __init__(
        self, store: GenerationStore, *, read: Callable[[bytes], ConfigT], now: Callable[[], float]
    ) -> None:
        self._store = store
        self._read = read
        self._now = now
        self._known = store.load()

    @property
    def known(self) -> Generations:
        """All that are remembered."""
        return self._known

    def chosen(self, file: bytes) -> Chosen[ConfigT]:
        """What to run on at a start; a file that has changed is the newest generation.

        Raises:
            RefusedError: the file cannot be read, and no generation was good yet.
            StorageFullError, UnavailableError: the file is new and could not be kept.
        """
        refused, is_new = "", False
        if _digest(file) != self._known.seen_file:
            try:
                self._read(file)
            except RefusedError as problem:
                if self._known.chosen is None:
                    raise
                refused = str(problem)
            else:
                before = self._known
                try:
                    self.propose(file, "file", seen=True)
                except UnavailableError as problem:  # a full disk must not keep a host from starting
                    if before.chosen is None:
                        raise
                    refused = str(problem)
                is_new = self._known.all != before.all
        while (generation := self._known.chosen) is not None:
            try:
                return Chosen(generation, self._read(self.text(generation.number)), is_new, refused)
            except (RefusedError, NotFoundError) as problem:
                self._keep(self._known.failed(generation.number, str(problem)))
        # Every generation is lost: the file as it is.
        config = self._read(file)
        generation = self.propose(file, "file", seen=True, again=True)
        return Chosen(generation, config, is_new=True)

    def propose(self, text: bytes, origin: str, *, seen: bool = False, again: bool = False) -> Generation:
        """Keep a configuration that was read, as the newest generation, on trial.

        The text of the chosen generation makes no new one. ``seen``: it is the content of the host's file.

        Raises:
            RefusedError: it cannot be read; nothing was kept.
            StorageFullError, UnavailableError: nothing was changed.
        """
        self._read(text)
        digest, known = _digest(text), self._known
        if seen:
            known = replace(known, seen_file=digest)
        current = known.chosen
        if current is not None and current.digest == digest and not again:
            if known != self._known:
                self._keep(known)
            return current
        known = known.proposed(digest, origin, at=self._now(), after=self._store.newest_number())
        self._keep(known, text=text)
        return known.all[-1]

    def confirm(self, number: int) -> Generation:
        """The host is well on it.

        Raises:
            NotFoundError, StorageFullError, UnavailableError.
        """
        if self._known.require(number).standing is not Standing.GOOD:
            self._keep(self._known.confirmed(number))
        return self._known.require(number)

    def fail(self, number: int, reason: str) -> Generation | None:
        """Give up a generation that is on trial; returns the one to run instead, None when there is none.

        Without a good one to go back to, it stays on trial.
        """
        failed = self._known.failed(number, reason)
        if failed.chosen is None:
            return None
        self._keep(failed)
        return failed.chosen

    def ended_uncleanly(self, number: int) -> None:
        """The host died while it ran on this generation; a trial ends when that happens twice."""
        if any(each.number == number for each in self._known.all):
            changed = self._known.ended_uncleanly(number)
            if changed != self._known:
                self._keep(changed)

    def revert(self, reason: str) -> Generation:
        """Go back to the good generation before the chosen one; returns it.

        Raises:
            ConflictError: there is none.
        """
        back = self._known.taken_back(reason)
        self._keep(back)
        chosen = back.chosen
        if chosen is None:  # taken_back has made sure
            raise NotFoundError("There is no generation left.")
        return chosen

    def text(self, number: int) -> bytes:
        """The text of a generation.

        Raises:
            NotFoundError: there is no such generation, or its text is lost.
        """
        generation = self._known.require(number)
        text = self._store.text(number, generation.digest)
        if text is None:
            raise NotFoundError(f"The text of generation {number} is lost or damaged.")
        return text

    def _keep(self, generations: Generations, *, text: bytes | None = None) -> None:
        self._store.keep(generations, text=text)
        self._known = generations


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
