"""Which run on which machine holds something."""

import datetime
import os
from dataclasses import dataclass
from typing import Self

from morphoclip.files import is_alive, this_host


@dataclass(frozen=True)
class Owner:
    """A process, and since when it holds what it holds (UTC)."""

    host: str
    pid: int
    since: str

    @classmethod
    def this_run(cls) -> Self:
        """This process, from now on."""
        now = datetime.datetime.now(datetime.UTC)
        return cls(this_host(), os.getpid(), now.strftime("%Y-%m-%d %H:%M:%S UTC"))

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; of another machine's processes nothing is known."""
        return self.host == this_host() and not is_alive(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"
