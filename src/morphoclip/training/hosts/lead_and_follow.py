"""Several hosts that train one model: the one that leads, and those that work with it.

The leading host opens the store, waits until all are there, and sends them the training; from then
on every host runs its own ranks, and watches over the others. Ranks are not started again while a
training runs, as torch's elastic agents do: a host that dies ends it, and `training.resume` goes on
with as many hosts as there are then.
"""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from morphoclip.errors import InputError
from morphoclip.training.hosts.gathering import place_in, wait_for_begin, wait_for_hosts
from morphoclip.training.hosts.notes import Begun, End, Run
from morphoclip.training.hosts.rendezvous import Address, interface_of, interface_towards
from morphoclip.training.hosts.store import HostStore, StoreClosed
from morphoclip.training.hosts.watch import (
    LEADER,
    HostWatch,
    closed_means_gone,
    said_how_it_ended,
    watching,
)
from morphoclip.training.job import FILES, TrainingJob, read_job, write_job
from morphoclip.training.processes import Meeting, private_folder, require_gpus, run_ranks
from morphoclip.wells.ahead import write_tokens
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch, mapped_tokens

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_TO_LEAVE = 5.0
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
    store.say("run", Run(run=uuid.uuid4().hex, nodes=config.nodes))
    others = range(1, config.nodes)
    try:
        with watching(store, LEADER, others) as watch, said_how_it_ended(store, "end"):
            wait_for_hosts(store, watch, config, device)
            with private_folder(job.run.folder / "processes") as folder:
                return _lead_in(folder, store, watch, (train_rank, device, wells, job))
    finally:  # the others hear how it ended
        _until(
            lambda: all(store.hear(f"end/{number}", End) for number in others), _SECONDS_TO_LEAVE
        )


def _lead_in(
    folder: Path,
    store: HostStore,
    watch: HostWatch,
    task: tuple[TrainRank, str, Wells, TrainingJob],
) -> Any:
    """Send the training to the other hosts, and run this one's ranks."""
    train_rank, device, wells, job = task
    config = job.training
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
    store.say("begun", Begun(devices=config.devices, size=meeting.size))
    for name in FILES:
        store.send_file(name, folder / name, config.nodes - 1, watch.look)
    store.send_file(_TOKENS, meeting.tokens, config.nodes - 1, watch.look)
    return run_ranks(train_rank, config.devices, meeting, device, wells, (job,), watch)


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
    address, mine = Address.parse(rendezvous), uuid.uuid4().hex
    done, since = 0, time.monotonic()
    logger.info("waiting for a training at %s", address)
    while time.monotonic() - since < patience:
        with suppress(StoreClosed):
            store = HostStore.connect(address)
            place = place_in(store, mine)
            if place is not None:
                since = time.monotonic()
                if _work_at(train_rank, store, place, folder):
                    done += 1
                    logger.info("training done; waiting for another at %s", address)
                since = time.monotonic()
                continue
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return done


def _work_at(train_rank: TrainRank, store: HostStore, place: int, folder: Path) -> bool:
    """Take part in one training; whether there was one: the leading host may not start it.

    Raises:
        InputError: It ended before its end.
    """
    with watching(store, place, [LEADER]) as watch:
        begun = wait_for_begin(store, watch, place)
        if begun is None:
            return False
        logger.info("host %d joins a training of %d processes", place + 1, begun.size)
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
            meeting = Meeting(
                own,
                begun.size,
                first_rank=place * begun.devices,
                interface=interface_towards(store.address),
                store=store.address,
            )
            _beside(received, meeting.tokens)
            wells, job, device = read_job(own, received)
            run_ranks(train_rank, begun.devices, meeting, device, wells, (job,), watch)
    return True


def _beside(path: Path, link: Path) -> None:
    """The same file by another name, on this file system or as a copy."""
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _until(is_so: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so, or for so long."""
    started = time.monotonic()
    with suppress(StoreClosed):
        while time.monotonic() - started < seconds and not is_so():
            time.sleep(0.05)
