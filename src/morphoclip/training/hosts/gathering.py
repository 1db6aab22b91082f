"""Hosts come together before a training: places, who takes them, and whether they fit."""

import logging
import socket
import time
from importlib.metadata import version

import torch

from morphoclip.errors import InputError
from morphoclip.training.config import TrainingConfig
from morphoclip.training.hosts.notes import Begun, End, Hello, Place, Refusal, Run
from morphoclip.training.hosts.store import HostStore
from morphoclip.training.hosts.watch import SECONDS_OF_SILENCE, HostWatch

logger = logging.getLogger(__name__)

_SECONDS_TO_READ = 1.0


def place_in(store: HostStore, worker: str) -> int | None:
    """This host's number in the training that gathers hosts there, from 1; None without a place."""
    run = store.hear("run", Run)
    if run is None or store.hear("end", End) or store.hear("begun", Begun):
        return None
    mine = Place(worker=worker)
    return next((n for n in range(1, run.nodes) if store.claim(f"place/{n}", mine)), None)


def wait_for_begin(store: HostStore, watch: HostWatch, place: int) -> Begun | None:
    """Until the leading host begins; None where it ends before. The place is given back then.

    Raises:
        InputError: It refuses this host, or is gone.
    """
    store.say(f"hello/{place}", this_host())
    begun = None
    try:
        while (begun := store.hear("begun", Begun)) is None:
            if refused := store.hear(f"refused/{place}", Refusal):
                raise InputError(refused.text)
            if store.hear("end", End) is not None:
                return None
            watch.look()
            time.sleep(0.05)
        return begun
    finally:
        if begun is None:
            give_place_back(store, place)


def give_place_back(store: HostStore, place: int) -> None:
    """Whoever comes next may take it."""
    for name in (f"hello/{place}", f"alive/{place}", f"place/{place}"):
        store.take_back(name)


def wait_for_hosts(store: HostStore, watch: HostWatch, config: TrainingConfig, device: str) -> None:
    """Until all hosts are there at the same time, and fit together.

    Raises:
        InputError: They do not come in time, or one does not fit.
    """
    patience, others = config.rendezvous.patience, range(1, config.nodes)
    started, told = time.monotonic(), -1
    known: set[int] = set()
    claimed: dict[int, float] = {}
    while not all(number in known and watch.is_here(number) for number in others):
        for number in others:
            hello = store.hear(f"hello/{number}", Hello)
            if number in known and hello is None:
                known.discard(number)
                logger.warning("host %d left again", number + 1)
            elif hello is not None and number not in known and watch.is_here(number):
                _require_alike(store, number, hello, config, device)
                logger.info("host %d of %d: %s", number + 1, config.nodes, hello.host)
                known.add(number)
            _free_if_silent(store, watch, number, claimed)
        if told != len(known) < len(others):
            told = len(known)
            logger.info(
                "waiting for %d of %d hosts; on each: morphoclip worker --rendezvous %s",
                config.nodes - 1 - told, config.nodes, store.address,
            )  # fmt: skip
        if time.monotonic() - started > patience:
            raise InputError(
                f"{len(others) - len(known)} of {len(others)} hosts did not come to "
                f"{store.address} within {patience:g} s: start morphoclip worker --rendezvous "
                f"{store.address} on each, or set training.rendezvous.patience or training.nodes"
            )
        time.sleep(0.05)


def _free_if_silent(
    store: HostStore, watch: HostWatch, number: int, claimed: dict[int, float]
) -> None:
    """Give a place back whose worker gives no signs, any more or yet."""
    if store.hear(f"place/{number}", Place) is None:
        claimed.pop(number, None)
        return
    since = claimed.setdefault(number, time.monotonic())
    if watch.is_here(number):
        claimed[number] = time.monotonic()
    elif time.monotonic() - since > SECONDS_OF_SILENCE:
        give_place_back(store, number)


def _require_alike(
    store: HostStore, number: int, hello: Hello, config: TrainingConfig, device: str
) -> None:
    if reason := _why_not(hello, config.devices, device):
        store.say(f"refused/{number}", Refusal(text=reason))
        time.sleep(_SECONDS_TO_READ)
        raise InputError(reason)


def this_host() -> Hello:
    """What the leading host has to know of this one."""
    return Hello(
        host=socket.gethostname(),
        morphoclip=version("morphoclip"),
        torch=str(torch.__version__),
        gpus=torch.cuda.device_count(),
    )


def _why_not(hello: Hello, devices: int, device: str) -> str | None:
    """Why a host cannot train with this one, or None."""
    own = this_host()
    for name in ("morphoclip", "torch"):
        if getattr(hello, name) != getattr(own, name):
            return (
                f"host {hello.host} has {name} {getattr(hello, name)} and the leading one has "
                f"{getattr(own, name)}: install the same on all hosts"
            )
    if device.startswith("cuda") and hello.gpus < devices:
        return (
            f"host {hello.host} has {hello.gpus} GPUs and training.devices is {devices}: take "
            "hosts that are alike"
        )
    return None
