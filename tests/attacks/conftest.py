"""How many attacks, and the job without any."""

import os

import pytest
from attacks.reference import Reference


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"))


def share_of(number: int) -> int:
    """All attacks of a kind where MORPHOCLIP_ATTACKS says all, else a tenth of them, and two."""
    return number if os.environ.get("MORPHOCLIP_ATTACKS") == "all" else number // 10 + 2
