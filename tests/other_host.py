"""Another host of a training: `morphoclip worker`'s work in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from network_namespaces import Place
from small_training import gradients

from morphoclip.training.distributed import World
from morphoclip.training.hosts.lead_and_follow import follow
from morphoclip.training.job import TrainingJob
from morphoclip.training.trainer import train_rank
from morphoclip.wells.assemble import Wells


def gradients_of_job(world: World, device: str, wells: Wells, job: TrainingJob) -> Any:
    """What `small_training.gradients` returns, of a training that hosts share."""
    return gradients(world, device, wells, job.training)


WORK = {"gradients": gradients_of_job, "train": train_rank}


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class OtherHost:
    """A process that follows, in its own process group."""

    def __init__(
        self, address: str, folder: Path, *, work: str = "train", place: Place | None = None
    ) -> None:
        prefix = place.prefix if place else ()
        command = [*prefix, sys.executable, __file__, work, address, str(folder)]
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"},
        )

    def kill(self, sign: int = signal.SIGKILL) -> None:
        os.killpg(self.process.pid, sign)

    def said(self, timeout: float = 60) -> tuple[int, str]:
        """Its exit status and what it printed, once it has ended."""
        text, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, text


@contextmanager
def other_host(*args: Any, **options: Any) -> Iterator[OtherHost]:
    host = OtherHost(*args, **options)
    try:
        yield host
    finally:
        if host.process.poll() is None:
            host.kill()
        host.process.wait()
        if host.process.stdout:
            host.process.stdout.close()


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    done = follow(WORK[sys.argv[1]], sys.argv[2], Path(sys.argv[3]), patience=20)
    sys.stdout.write(f"done {done}\n")
