"""The keys of operators, as the configuration names them."""

from __future__ import annotations

import pytest

from edgehost.adapters.fleet.operator_keys import load_operators
from edgehost.config_fleet import OperatorSettings
from edgehost.domain.errors import InvalidConfigError


def test_a_key_that_is_named_twice_is_refused_since_one_of_its_limits_would_be_lost() -> None:
    wide = OperatorSettings("aa" * 32, ("*",), public=b"\xaa" * 32)
    narrow = OperatorSettings("AA" * 32, ("logs",), ("telemetry",), public=b"\xaa" * 32)
    with pytest.raises(InvalidConfigError, match="have the key"):
        load_operators((wide, narrow))
