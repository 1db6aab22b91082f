"""Tries follow each other at once."""

import pytest

from morphoclip.remote import reading


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch) -> None:
    monkeypatch.setattr(reading, "SECONDS_BETWEEN_TRIES", (0.001, 0.01))
