"""One run of 'edgehost fleet': what was asked for, the link to the broker, and the hosts that are meant."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from edgehost.adapters.fleet.operator_link import OperatorLink
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.fleet_settings import FleetAccess
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import NotFoundError
from edgehost.domain.fleet_members import Member, Selection, members_in
from edgehost.domain.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class Work:
    """One run of the command."""

    args: argparse.Namespace
    out: Output
    access: FleetAccess
    link: OperatorLink

    @property
    def now(self) -> float:
        """By this machine's clock."""
        return SystemClock().now()

    def members(self) -> dict[str, Member]:
        """Every registered host."""
        return members_in(self.access.topics, self.link.retained)

    def chosen(self, *, must: bool) -> list[Member]:
        """The hosts that the command line means.

        Raises:
            UsageError: it means none, and the verb needs some.
            NotFoundError: there are none of that kind.
        """
        selection = selection_of(self.args)
        if must and selection.is_empty:
            raise UsageError("say which hosts: --host, --class, --label or --all")
        members = self.members()
        missing = [name for name in selection.names if name not in members]
        if missing:
            hint = did_you_mean(missing[0], members)
            raise NotFoundError(f"No host '{missing[0]}' is registered in this fleet.", hint=hint)
        chosen = selection.of(members.values())
        if not chosen and (must or not selection.is_empty):
            raise NotFoundError(
                "No registered host is meant by that.", hint="'edgehost fleet ls' lists them."
            )
        return chosen


def selection_of(args: argparse.Namespace) -> Selection:
    """What the command line says of hosts.

    Raises:
        UsageError: it contradicts itself, or a label is none.
    """
    labels = {}
    for each in args.label:
        key, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"'{each}' is no K=V")
        labels[key] = value
    if args.all and (args.host or args.device_class or labels):
        raise UsageError("--all stands beside --host, --class or --label, which mean fewer: drop one")
    return Selection(tuple(args.host), args.device_class, labels, args.all)
