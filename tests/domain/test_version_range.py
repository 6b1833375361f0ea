from __future__ import annotations

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.version_range import VersionRange

VERSIONS = st.builds(lambda a, b, c: f"{a}.{b}.{c}", *[st.integers(0, 30)] * 3)


@pytest.mark.parametrize(
    ("text", "version", "inside"),
    [
        ("*", "9.9.9", True),
        ("*", "1.0.0-rc.1", False),
        ("^1.2", "1.9.0", True),
        ("^1.2", "1.1.9", False),
        ("^1.2", "2.0.0", False),
        ("^0.2.1", "0.2.9", True),
        ("^0.2.1", "0.3.0", False),
        ("^0.0.3", "0.0.4", False),
        ("^1.0.0-rc.1", "1.0.0-rc.2", True),
        ("~1.2.3", "1.2.9", True),
        ("~1.2.3", "1.3.0", False),
        ("1", "1.9.9", True),
        ("1.2", "1.2.7", True),
        ("1.2", "1.3.0", False),
        ("1.2.3", "1.2.3", True),
        ("1.2.3", "1.2.4", False),
        (">=1, <2", "1.5.0", True),
        (">=1, <2", "2.0.0", False),
        ("!=1.2.3", "1.2.3", False),
    ],
)
def test_a_range_takes_what_its_notation_promises(text: str, version: str, inside: bool) -> None:
    assert VersionRange.parse(text).allows(version) is inside


@pytest.mark.parametrize("text", ["one", "1.2.3.4", "^", ">=", "1 || 2", "><1", "^^1"])
def test_what_is_no_range_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="no version range"):
        VersionRange.parse(text)


@given(VERSIONS, VERSIONS)
def test_a_caret_never_crosses_a_breaking_change(base: str, version: str) -> None:
    if VersionRange.parse(f"^{base}").allows(version):
        low, other = semver.Version.parse(base), semver.Version.parse(version)
        assert other >= low
        assert other.major == low.major
        if low.major == 0:
            assert other.minor == low.minor
