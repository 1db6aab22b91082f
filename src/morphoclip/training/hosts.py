"""Several hosts that train one model: the one that leads, and those that work with it.

The leading host opens the store, waits until all are there, and sends them the training; from then
on every host runs its own ranks, and watches over the others. Ranks are not started again while a
training runs, as torch's elastic agents do: a host that dies ends it, and `training.resume` goes on
with as many hosts as there are then.
"""

import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from morphoclip.errors import InputError
from morphoclip.training.host_store import HostStore, StoreClosed
from morphoclip.training.host_watch import (
    LEADER,
    HostWatch,
    closed_means_gone,
    said_how_it_ended,
    watching,
)
from morphoclip.training.job import FILES, TrainingJob, read_job, write_job
from morphoclip.training.processes import Meeting, private_folder, require_gpus, run_ranks
from morphoclip.training.rendezvous import Address, interface_of, interface_towards
from morphoclip.wells.ahead import write_tokens
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch, mapped_tokens

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_TO_LEAVE = 10.0
_TOKENS = "tokens"
TrainRank = Callable[..., Any]
"""``(world, device, wells, job)``: the training of one process."""


def lead(train_rank: TrainRank, device: str, wells: Wells, job: TrainingJob) -> Any:
    """Train on `training.nodes` hosts, of which this one leads; what the first rank returns.

    Raises:
        InputError: The hosts do not come, do not go together, one of them ends, or a rank raised
            one.
        RuntimeError: A rank of this host died.
    """
    config = job.training
    rendezvous = config.rendezvous
    if rendezvous.address is None:
        raise InputError(
            f"training.nodes is {config.nodes}: say where this host waits for the others, by an "
            "address of its own: training.rendezvous.address:HOST:PORT"
        )
    require_gpus(config.devices, device)
    store = HostStore.serve(Address.parse(rendezvous.address), trusted=rendezvous.trusted_network)
    others = range(1, config.nodes)
    run = {"run": uuid.uuid4().hex, "nodes": config.nodes}
    store.say("run", run)
    with watching(store, LEADER, others) as watch, said_how_it_ended(store, "end"):
        _wait_for_hosts(store, watch, config.nodes, config.devices, rendezvous.patience)
        with private_folder(job.run.folder / "processes") as folder:
            meeting = Meeting(
                folder,
                config.nodes * config.devices,
                first_rank=0,
                interface=interface_of(store.address.host),
                store=store.address,
            )
            write_tokens(wells.sites, meeting.tokens)
            in_file = WellBatch(mapped_tokens(meeting.tokens), wells.sites.offsets.cpu())
            wells = replace(wells, sites=in_file)
            write_job(wells, job, device, folder)
            store.say("begun", {"devices": config.devices, "size": meeting.size})
            for name in FILES:
                store.send_file(name, folder / name, len(others), watch.look)
            store.send_file(_TOKENS, meeting.tokens, len(others), watch.look)
            result = run_ranks(train_rank, config.devices, meeting, device, wells, (job,), watch)
    _until(lambda: all(store.hear(f"end/{n}") for n in others), _SECONDS_TO_LEAVE)
    return result


def follow(train_rank: TrainRank, rendezvous: str, folder: Path, patience: float) -> int:
    """Work for one training after another that is led from an address; how many there were.

    Args:
        train_rank: What the leading host runs, too.
        rendezvous: ``host:port`` of it.
        folder: Where features lie meanwhile; those of the last training stay, for the next.
        patience: Seconds to wait for a training, at first and after each.

    Raises:
        InputError: The training ended before its end, or this host does not fit.
        RuntimeError: A rank of this host died.
    """
    address = Address.parse(rendezvous)
    done, since = 0, time.monotonic()
    logger.info("waiting for a training at %s", address)
    while time.monotonic() - since < patience:
        with suppress(StoreClosed):
            store = HostStore.connect(address)
            place = _place_in(store)
            if place is not None:
                if _work_at(train_rank, store, place, folder):
                    done += 1
                    logger.info("training done; waiting for another at %s", address)
                since = time.monotonic()
                continue
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return done


def _place_in(store: HostStore) -> int | None:
    """This host's number in the training that gathers hosts there, from 1; None without a place."""
    run = store.hear("run")
    if run is None or store.hear("end") or store.hear("begun"):
        return None
    mine = uuid.uuid4().hex
    return next((n for n in range(1, int(run["nodes"])) if store.claim(f"place/{n}", mine)), None)


def _work_at(train_rank: TrainRank, store: HostStore, place: int, folder: Path) -> bool:
    """Take part in one training; whether there was one: the leading host may not start it.

    Raises:
        InputError: It ended before its end.
    """
    store.say(f"hello/{place}", _this_host())
    with watching(store, place, [LEADER]) as watch:
        while (begun := store.hear("begun")) is None:
            if store.hear("end") is not None and store.hear(f"refused/{place}") is None:
                return False
            if refused := store.hear(f"refused/{place}"):
                raise InputError(str(refused))
            watch.look()
            time.sleep(0.05)
        logger.info("host %d joins a training of %d processes", place, begun["size"])
        with (
            closed_means_gone(),
            said_how_it_ended(store, f"end/{place}"),
            private_folder(folder / "training") as own,
        ):
            for name in FILES:
                store.receive_file(name, own, watch.look).rename(own / name)
            features = folder / "features"
            received = store.receive_file(_TOKENS, features, watch.look)
            for older in features.iterdir():
                if older != received:
                    older.unlink()
            n_devices = int(begun["devices"])
            meeting = Meeting(
                own,
                int(begun["size"]),
                first_rank=place * n_devices,
                interface=interface_towards(store.address),
                store=store.address,
            )
            _beside(received, meeting.tokens)
            wells, job, device = read_job(own, received)
            run_ranks(train_rank, n_devices, meeting, device, wells, (job,), watch)
    return True


def _wait_for_hosts(
    store: HostStore, watch: HostWatch, n_hosts: int, devices: int, patience: float
) -> None:
    """Until all hosts are there and fit together.

    Raises:
        InputError: They do not come in time, or one does not fit.
    """
    started, n_seen = time.monotonic(), -1
    waiting = set(range(1, n_hosts))
    while waiting:
        for number in sorted(waiting):
            hello = store.hear(f"hello/{number}")
            if hello is not None and watch.has_signed(number):
                if reason := _why_not(hello, devices):
                    store.say(f"refused/{number}", reason)
                    _until(lambda: False, _SECONDS_BETWEEN_TRIES)  # for it to be read
                    raise InputError(reason)
                logger.info("host %d of %d: %s", number + 1, n_hosts, hello["host"])
                waiting.discard(number)
        if n_seen != len(waiting) and waiting:
            n_seen = len(waiting)
            logger.info(
                "waiting for %d of %d hosts; on each: morphoclip worker --rendezvous %s",
                n_seen, n_hosts, store.address,
            )  # fmt: skip
        if time.monotonic() - started > patience:
            raise InputError(
                f"{len(waiting)} of {n_hosts - 1} hosts did not come to {store.address} within "
                f"{patience:g} s: start morphoclip worker --rendezvous {store.address} on each, or "
                "set training.rendezvous.patience or training.nodes"
            )
        for number in watch.gone():  # before it began: another may take the place
            if number not in waiting:
                logger.warning("host %d left again", number + 1)
            waiting.add(number)
            for name in (f"hello/{number}", f"place/{number}", f"alive/{number}"):
                store.give_back(name)
            watch.forget(number)
        time.sleep(0.05)


def _this_host() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "morphoclip": version("morphoclip"),
        "torch": torch.__version__,
        "gpus": torch.cuda.device_count(),
    }


def _why_not(hello: Mapping[str, Any], devices: int) -> str | None:
    """Why a host cannot train with this one, or None."""
    own = _this_host()
    for name in ("morphoclip", "torch"):
        if hello.get(name) != own[name]:
            return (
                f"host {hello.get('host')} has {name} {hello.get(name)} and the leading one has "
                f"{own[name]}: install the same on all hosts"
            )
    if bool(own["gpus"]) != bool(hello.get("gpus")) or 0 < hello.get("gpus", 0) < devices:
        return (
            f"host {hello.get('host')} has {hello.get('gpus')} GPUs, the leading one {own['gpus']} "
            f"and training.devices is {devices}: take hosts that are alike"
        )
    return None


def _beside(path: Path, link: Path) -> None:
    """The same file by another name, on this file system or as a copy."""
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _until(is_so: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so, or for so long."""
    started = time.monotonic()
    while time.monotonic() - started < seconds and not is_so():
        time.sleep(0.05)
