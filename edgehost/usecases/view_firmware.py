"""The firmware of each device as an operator sees it: what runs, what is wanted, and a flash under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost.domain.deployment_plan import ComponentPlan
from edgehost.usecases.deployment_firmware import plan_name
from edgehost.usecases.flash_device import FlashDevice


@dataclass(frozen=True, slots=True)
class FirmwareView:
    """Answers are ready for JSON."""

    flash: FlashDevice
    plans: Callable[[], Iterable[ComponentPlan]]  # of the deployments that are held

    def of(self, device: str) -> Mapping[str, Any]:
        """One device; ``image`` is "" when this host did not bring what runs there."""
        page, running = self.flash.book.page(device), self.flash.running(device)
        version = self.flash.version(device) or ("" if running is None else running.version)
        flash, by_hand = page.under_way, self.flash.by_hand.cut(device)
        return {
            "running": version,
            "image": "" if running is None else running.name,
            "digest": "" if running is None else running.digest,
            "wanted": self._wanted(device),
            "flash": None
            if flash is None
            else {
                "firmware": flash.image.name,
                "version": flash.image.version,
                "stage": str(flash.stage),
                "attempts": flash.attempts,
                "progress": self.flash.writer.progress.get(device),
            },
            "lost": page.lost,
            "by_hand": None
            if by_hand is None
            else {
                "firmware": by_hand.image.name,
                "version": by_hand.image.version,
                "began_at": by_hand.began_at,
                "problem": " ".join(self.flash.by_hand.told(device)),
            },
            "failed": {digest: failure.reason for digest, failure in page.failed.items()},
        }

    def findings(self) -> Iterable[Mapping[str, Any]]:
        """What 'edgehost doctor' says of the firmware of devices."""
        for device in self.flash.writer.devices.known:
            page = self.flash.book.page(device)
            if page.under_way is not None:
                detail = f"{page.under_way.image.label} is being flashed: {page.under_way.stage}."
                yield _finding(device, "warning", detail, "A flash that has begun is finished.")
            elif page.lost and not self.flash.writer.is_online(device):
                hint = "Then deploy the next version, or flash it by 'edgehost flash'."
                yield _finding(device, "failed", page.lost, hint)
            detail, hint = self.flash.by_hand.told(device)
            if detail:
                yield _finding(device, "failed", detail, hint)

    def _wanted(self, device: str) -> str:
        """The version that a deployment wants there; "" when none wants an image."""
        for plan in self.plans():
            target = plan.target
            if plan.component != plan_name(device) or target is None:
                continue
            if self.flash.book.image(target.digest) is not None or plan.deployment:
                return target.version
        return ""


def _finding(device: str, state: str, detail: str, hint: str) -> Mapping[str, Any]:
    return {"check": f"firmware of {device}", "state": state, "detail": detail, "hint": hint}
