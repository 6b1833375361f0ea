"""Reports on deployments whose signature holds: what is written over or taken away at the broker, they are not.

A signature alone says nothing, since anybody can make a key: which key is whose, a deployment says. Until that is known,
the last of each host is kept.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edgehost.adapters.fleet.host_key import HostKey, opened_report
from edgehost.domain.errors import RefusedError
from edgehost.domain.rollout_messages import read_signed_report, signature_in, signed_report_map
from edgehost.domain.rollout_report import RolloutReport, RolloutState

log = logging.getLogger("edgehost.fleet")

_MOST_HOSTS: Final = 5000
_MOST_DEPLOYMENTS: Final = 256
#: How far a host is; what has not begun may be halted and resumed.
_STEP: Final = {
    RolloutState.APPLYING: 1,
    RolloutState.SOAKING: 2,
    RolloutState.SUCCESSFUL: 3,
    RolloutState.FAILED: 4,
}


@dataclass(slots=True)
class SignedReports:
    """Of one fleet, as one host sees them."""

    fleet: str
    host: str
    _reports: dict[str, dict[str, RolloutReport]] = field(default_factory=dict)  # by deployment and host
    _keys: dict[str, Mapping[str, str]] = field(default_factory=dict)  # by deployment, and then by host

    def is_wanted(self, deployment: str) -> bool:
        """Whether nothing else counts for this deployment."""
        return bool(self._keys.get(deployment))

    def reports(self, deployment: str) -> Sequence[RolloutReport]:
        """The last one of each host."""
        return tuple(self._reports.get(deployment, {}).values())

    def trust(self, deployment: str, keys: Mapping[str, str]) -> None:
        """Keep none but of these hosts, signed with these keys; none: of everybody."""
        if not keys:
            self._keys.pop(deployment, None)
        elif self._keys.get(deployment) != keys:
            self._keys[deployment] = dict(keys)
            kept = self._reports.get(deployment, {})
            self._reports[deployment] = {
                host: report for host, report in kept.items() if report.key == keys.get(host)
            }

    def own(self, report: RolloutReport, key: HostKey) -> dict[str, str]:
        """What is shown beside this host's report."""
        shown = key.public.hex()
        self._reports.setdefault(report.deployment, {})[self.host] = replace(report, key=shown)
        signed = key.signed(signed_report_map(report, fleet=self.fleet))
        return {"key": shown, "signed": base64.b64encode(signed).decode()}

    def forget(self, deployment: str) -> None:
        """This host has nothing to do with it any more."""
        self._keys.pop(deployment, None)
        self._reports.pop(deployment, None)

    def take(self, host: str, deployment: str, payload: bytes) -> None:
        """What stands at a host's topic; what is not signed, or not with the key that it should be, changes nothing."""
        wanted = self._keys.get(deployment, {})
        try:
            found = signature_in(payload)
            if found is None or (wanted and wanted.get(host) != found[0].hex()):
                return
            document = opened_report(found[1], found[0])
            report = read_signed_report(document, fleet=self.fleet, host=host, deployment=deployment)
        except RefusedError as error:
            log.warning("A signed report of %s on %s does not hold: %s", host, deployment, error.message)
            return
        self._keep(replace(report, key=found[0].hex()))

    def _keep(self, report: RolloutReport) -> None:
        reports = self._reports.get(report.deployment, {})
        before = reports.get(report.host)
        if before is not None and _is_replay(report, before):
            return
        if before is None and len(reports) >= _MOST_HOSTS:
            return
        if report.deployment not in self._reports and len(self._reports) >= _MOST_DEPLOYMENTS:
            return
        self._reports.setdefault(report.deployment, {})[report.host] = report


def _is_replay(report: RolloutReport, before: RolloutReport) -> bool:
    """Whether a host has said something newer already. Sequences and states go on; clocks may go back."""
    if report.key != before.key:
        return False
    if report.sequence != before.sequence:
        return report.sequence < before.sequence
    return report.digest == before.digest and _STEP.get(report.state, 0) < _STEP.get(before.state, 0)
