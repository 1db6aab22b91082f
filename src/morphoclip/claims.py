"""What one run works on and no other may: locks that name their holder and end with its process."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from morphoclip.errors import InputError
from morphoclip.files import shown_path
from morphoclip.owner import Owner

logger = logging.getLogger(__name__)


class Claim:
    """A lock on a file beside what is claimed; shared ones go together, others alone.

    The operating system gives it back when the process ends, however it ends.

    Args:
        path: The lock's file; its folder is made.
        what: What is claimed, in words.
        shared: Whether others may share it, as readers do.

    Raises:
        InputError: Another run holds it; named by host, process and time.
    """

    def __init__(self, path: Path, what: str, *, shared: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"nothing can be written to {shown_path(path.parent)} ({error.strerror}): make the "
                "data folder one that you may write to, or name another (MORPHOCLIP_DATA)"
            ) from error
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._handle)
            self.release()
            raise InputError(
                f"another run works on {what} ({holder}): wait for its end, or give this run a "
                "data folder of its own (MORPHOCLIP_DATA)"
            ) from None
        except OSError as error:
            logger.warning("%s cannot be claimed (%s): let no other run work on it", what, error)
            return
        written = json.dumps(asdict(Owner.this_run())).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, written, 0)

    def release(self) -> None:
        """Give it back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextmanager
def claimed(path: Path, what: str) -> Iterator[None]:
    """Hold a claim for a while."""
    claim = Claim(path, what)
    try:
        yield
    finally:
        claim.release()


def _holder(handle: int) -> str:
    """Who claimed it last; of several that share it, one."""
    try:
        return str(Owner(**json.loads(os.pread(handle, 4096, 0))))
    except (ValueError, TypeError):
        return "a process that has just started"
