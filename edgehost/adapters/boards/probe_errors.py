"""What a person is told when a debug probe cannot be used, whichever program looks for it."""

from __future__ import annotations

from edgehost.domain.errors import LineDeniedError, NoSyncError


def no_probe() -> NoSyncError:
    """None is plugged in, or none that the program knows."""
    return NoSyncError(
        "There is no debug probe.",
        hint="Plug the board in by the USB socket of its probe; look at its cable (many carry power only).",
    )


def probe_denied() -> LineDeniedError:
    """It is there, and belongs to somebody else."""
    return LineDeniedError("This user may not open the debug probe.", hint="Add a udev rule for it.")
