"""Fixtures: a project of its own in a temporary folder, and real data where there are some."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).parents[1]

settings.register_profile("morphoclip", deadline=None, max_examples=40)
settings.load_profile("morphoclip")

# never the user's own runs, whatever .env says
os.environ["KEDRO_ENV"] = "test"
os.environ["KEDRO_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks a model hub for anything


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Files of CPJUMP1 in the gallery's layout."""
    place = os.environ.get("MORPHOCLIP_TEST_DATA")
    if not place:
        pytest.skip("MORPHOCLIP_TEST_DATA is not set: no real data to test on")
    return Path(place)


@pytest.fixture(scope="session")
def gallery(real_data: Path) -> Path:
    return real_data / "gallery" / "cpg0000-jump-pilot" / "source_4"
