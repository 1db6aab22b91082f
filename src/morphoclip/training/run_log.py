"""Where trainings report to."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class RunLog(Protocol):
    """Where epochs are logged, and runs within the run."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one epoch."""
        ...

    def nested(self, name: str) -> AbstractContextManager["RunLog"]:
        """A run of its own within this one."""
        ...

    def summarise(self, metrics: Mapping[str, float]) -> None:
        """Log the result of the run."""
        ...
