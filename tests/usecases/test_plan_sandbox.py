from __future__ import annotations

import pytest

from edgehost.domain.component_spec import ComponentSpec, Kind, Limits
from edgehost.domain.errors import IncompatibleReleaseError
from edgehost.usecases.plan_sandbox import HostTerms, plan_sandbox

FOUR_PAGES = b"\0asm\1\0\0\0" + b"\x05\x03\x01\x00\x04"  # a memory that starts with 256 KiB


def spec(memory_kib: int) -> ComponentSpec:
    return ComponentSpec("orders", "1.0.0", Kind.ADAPTER, limits=Limits(memory_kib=memory_kib))


def test_the_hosts_limit_is_the_hosts_and_the_release_is_not_called_invalid() -> None:
    with pytest.raises(IncompatibleReleaseError, match=r"starts with 256 KiB.*gives a component 128 KiB"):
        plan_sandbox(spec(1024), FOUR_PAGES, HostTerms(memory_kib=128, deadline_ms=1000))


@pytest.mark.parametrize(("own_kib", "host_kib"), [(1024, 256), (128, 4096), (128, 64)])
def test_what_fits_or_breaks_its_own_limit_is_left_to_the_sandbox(own_kib: int, host_kib: int) -> None:
    plan = plan_sandbox(spec(own_kib), FOUR_PAGES, HostTerms(memory_kib=host_kib, deadline_ms=1000))
    assert plan.limits.memory_kib == min(own_kib, host_kib)
