"""A Dask cluster: the one at an address, or workers on this machine."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from morphoclip.errors import InputError
from morphoclip.features.config import DaskConfig

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_SECONDS_TO_CONNECT = 30


@contextmanager
def dask_client(config: DaskConfig) -> Iterator["Client"]:
    """A client of the cluster.

    Workers on this machine listen on the loopback interface, and take work from who has the
    certificate that was made for this run.

    Raises:
        InputError: Dask is not installed, the cluster cannot be reached, or has no TLS.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            'image_features.executor dask needs Dask: pip install "morphoclip[dask]", or set it '
            "to local"
        )
    import dask

    # it sets its own level when it is imported, here and in workers: the run itself says how far
    # they are, and which have failed
    dask.config.set({"logging.distributed": "error"})
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")
    if config.address is None:
        with _workers_here(n_workers(config)) as client:
            yield client
        return
    with _connected(config.address, trusted=config.trusted_network) as client:
        yield client


def n_workers(config: DaskConfig) -> int:
    """Workers that are started on this machine."""
    return max(torch.cuda.device_count(), 1) if config.workers == "auto" else config.workers


def threads_of_each(config: DaskConfig) -> int | None:
    """Threads of each worker on this machine; None leaves those of a cluster as they are."""
    cores = len(os.sched_getaffinity(0))
    return None if config.address else max(cores // n_workers(config), 1)


@contextmanager
def _workers_here(number: int) -> Iterator["Client"]:
    from distributed import Client, LocalCluster
    from distributed.security import Security

    dashboard = "127.0.0.1:0" if importlib.util.find_spec("bokeh") else None
    with (
        LocalCluster(
            n_workers=number,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            security=Security.temporary(),
            dashboard_address=dashboard,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        where = f"; its dashboard: {cluster.dashboard_link}" if dashboard else ""
        logger.info("%d Dask worker(s) on this machine%s", number, where)
        yield client


@contextmanager
def _connected(address: str, *, trusted: bool) -> Iterator["Client"]:
    from distributed import Client

    if not address.startswith(("tls://", "tcp://")):
        raise InputError(
            f"image_features.dask.address is {address}: write tls://host:port, as the scheduler "
            "says when it starts"
        )
    if address.startswith("tcp://") and not trusted:
        raise InputError(
            f"the scheduler at {address} has no TLS: whoever reaches its port runs code as you. "
            "Start it with certificates (tls://; distributed.comm.tls in Dask's configuration), "
            "or, where nobody else is on its network, say so: "
            "image_features.dask.trusted_network:true"
        )
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no Dask scheduler answers at {address}: {reason}") from error
    with client:
        logger.info("Dask cluster at %s; its dashboard: %s", address, client.dashboard_link)
        yield client
