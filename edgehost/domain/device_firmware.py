"""The firmware of a device as its host knows it, and the life of a flash that a deployment wants, as a table of moves.

Rule 1: what is about to be done is kept durably before it is done, so that a flash that has begun is finished.
Rule 2: an image that did not prove itself on a device is noted (``failed``), and is not brought there again by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from edgehost.domain.errors import ConflictError

#: Images that a device has failed with, the last ones.
_MOST_FAILED: Final = 16
#: A deployment that has followed a remote over some versions can still be taken back.
_MOST_EARLIER: Final = 3


class FlashStage(enum.StrEnum):
    """How far a flash is; each is kept before its work begins."""

    WRITING = "writing"  # the new image goes onto the board
    TRYING = "trying"  # it is written; the device must come back with it
    RESTORING = "restoring"  # the last good image goes onto the board
    RETURNING = "returning"  # it is written; the device must come back with it


#: None: no flash is under way.
ALLOWED_MOVES: Final[Mapping[FlashStage | None, frozenset[FlashStage | None]]] = {
    None: frozenset({FlashStage.WRITING}),
    FlashStage.WRITING: frozenset({FlashStage.TRYING, FlashStage.RESTORING, None}),
    FlashStage.TRYING: frozenset({FlashStage.RESTORING, None}),
    FlashStage.RESTORING: frozenset({FlashStage.RETURNING, None}),
    FlashStage.RETURNING: frozenset({None}),
}


@dataclass(frozen=True, slots=True)
class KnownImage:
    """A signed firmware image that was, is or will be on a device; its bytes are on the shelf by their digest."""

    name: str
    version: str
    digest: str  # sha256 of the file, lower-case hex
    sequence: int
    size_bytes: int

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image is not brought to the device any more."""

    reason: str
    deployment: str = ""  # only for this one, by its digest; "": for all


@dataclass(frozen=True, slots=True)
class FlashUnderWay:
    """A flash that has begun."""

    stage: FlashStage
    image: KnownImage
    deployment: str = ""  # digest of the one that wants it
    attempts: int = 0  # writes of this stage that began and may have touched the board
    failing: str = ""  # digest of the image that the last good one is restored for
    why: str = ""  # what it did


@dataclass(frozen=True, slots=True)
class FlashByHand:
    """A flash that a person has ordered: kept before the board is touched, so that one that is cut is known."""

    image: KnownImage
    line: str
    board: str  # what it was said to be
    began_at: float  # epoch seconds
    why: str = ""  # it broke off; "" while it goes on, and of one that was cut with its host


@dataclass(frozen=True, slots=True)
class FirmwarePage:
    """What is known of one device's firmware."""

    running: KnownImage | None = None  # the last image that came back on the device
    earlier: tuple[KnownImage, ...] = ()  # those before that, the newest first
    prepared: KnownImage | None = None  # is on the shelf for the next flash
    under_way: FlashUnderWay | None = None
    failed: Mapping[str, Failure] = field(default_factory=dict)  # by digest, oldest first
    board: str = ""  # what board it was flashed as; a device that does not answer says no more
    lost: str = ""  # neither old nor new answers: why, and what a person can do
    by_hand: FlashByHand | None = None  # has begun, and nothing is known of how it went, or it broke off

    @property
    def images(self) -> tuple[KnownImage, ...]:
        """All that the shelf must keep."""
        flash = self.under_way
        each = (self.running, *self.earlier, self.prepared, None if flash is None else flash.image)
        return tuple(image for image in each if image is not None)

    def failure(self, digest: str, deployment: str) -> str:
        """Why this deployment cannot bring this image; "" when it can."""
        failure = self.failed.get(digest)
        return failure.reason if failure is not None and failure.deployment in {"", deployment} else ""

    def begun(
        self, image: KnownImage, deployment: str, *, running: KnownImage | None, board: str = ""
    ) -> FirmwarePage:
        """A flash begins; ``running`` is what is known to be there now.

        Raises:
            ConflictError: one is under way.
        """
        _require_move(self.under_way, FlashStage.WRITING)
        flash = FlashUnderWay(FlashStage.WRITING, image, deployment)
        return replace(self, running=running, under_way=flash, board=board, lost="", by_hand=None)

    def moved_to(self, stage: FlashStage, **changes: Any) -> FirmwarePage:  # noqa: ANN401 - fields of the flash
        """The flash goes on.

        Raises:
            ConflictError: the table has no such move.
        """
        _require_move(self.under_way, stage)
        if self.under_way is None:
            raise ConflictError("No flash is under way.")
        return replace(self, under_way=replace(self.under_way, stage=stage, attempts=0, **changes))

    def tried(self, attempts: int) -> FirmwarePage:
        """So many writes of this stage may have touched the board."""
        flash = self.under_way
        return self if flash is None else replace(self, under_way=replace(flash, attempts=attempts))

    def ended(self, **changes: Any) -> FirmwarePage:  # noqa: ANN401 - fields
        """No flash is under way any more.

        Raises:
            ConflictError: none was.
        """
        _require_move(self.under_way, None)
        return replace(self, under_way=None, **changes)

    def proved(self, image: KnownImage) -> FirmwarePage:
        """The device runs this image, and says so."""
        others = (() if self.running is None else (self.running,)) + self.earlier
        earlier = tuple(each for each in others if each.digest != image.digest)[:_MOST_EARLIER]
        failed = {digest: why for digest, why in self.failed.items() if digest != image.digest}
        return replace(
            self, running=image, earlier=earlier, under_way=None, failed=failed, lost="", by_hand=None
        )

    def condemned(self, digest: str, failure: Failure) -> FirmwarePage:
        """The image is not brought there again by itself."""
        failed = {each: why for each, why in self.failed.items() if each != digest} | {digest: failure}
        kept = list(failed.items())[-_MOST_FAILED:]
        return replace(self, failed=dict(kept))

    def as_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FirmwarePage:
        """What ``as_document`` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is something else.
        """
        flash = document["under_way"]
        return cls(
            running=_read_image(document["running"]),
            earlier=tuple(_required_image(each) for each in document["earlier"]),
            prepared=_read_image(document["prepared"]),
            under_way=None if flash is None else _read_flash(flash),
            failed={
                str(digest): Failure(str(each["reason"]), str(each["deployment"]))
                for digest, each in document["failed"].items()
            },
            board=str(document["board"]),
            lost=str(document["lost"]),
            by_hand=_read_by_hand(document.get("by_hand")),
        )


def _require_move(flash: FlashUnderWay | None, stage: FlashStage | None) -> None:
    now = None if flash is None else flash.stage
    if stage not in ALLOWED_MOVES[now]:
        raise ConflictError(f"A flash cannot go from {now or 'nothing'} to {stage or 'nothing'}.")


def _read_flash(document: Mapping[str, Any]) -> FlashUnderWay:
    return FlashUnderWay(
        FlashStage(document["stage"]),
        _required_image(document["image"]),
        str(document["deployment"]),
        int(document["attempts"]),
        str(document["failing"]),
        str(document["why"]),
    )


def _read_by_hand(document: Mapping[str, Any] | None) -> FlashByHand | None:
    if document is None:  # an earlier version kept none
        return None
    return FlashByHand(
        _required_image(document["image"]),
        str(document["line"]),
        str(document["board"]),
        float(document["began_at"]),
        str(document["why"]),
    )


def _required_image(document: Mapping[str, Any] | None) -> KnownImage:
    image = _read_image(document)
    if image is None:
        raise ValueError("An image is missing.")
    return image


def _read_image(document: Mapping[str, Any] | None) -> KnownImage | None:
    if document is None:
        return None
    return KnownImage(
        name=str(document["name"]),
        version=str(document["version"]),
        digest=str(document["digest"]),
        sequence=int(document["sequence"]),
        size_bytes=int(document["size_bytes"]),
    )
