"""Small wells that can be learnt in seconds, for the tests of training; ranks import this, too."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from morphoclip.backbones.image import load_image_backbone
from morphoclip.columns import (
    CONDITION,
    ENTITY,
    GENE,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT_DIGEST,
    ROLE,
    SUBSET,
    TARGET_LIST,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.models.config import ModelConfig
from morphoclip.training import checkpoints
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import training_data
from morphoclip.training.distributed import World
from morphoclip.training.fine_tuning import FineTuning, LoraConfig
from morphoclip.training.processes import launch
from morphoclip.training.step import accumulate_gradients, batch_loss
from morphoclip.training.trainer import TrainingResult, initial_state, train
from morphoclip.well_names import well_name
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.site_images import ImagedWells

MODEL = ModelConfig(
    ccf_ff_dim=32, proj_hidden_dim=16, output_dim=8, proj_dropout=0.1, token_normalisation="none"
)
QUICK = TrainingConfig(
    batch_size=8, epochs=6, learning_rate=1e-2, warmup_steps=2, cpu_threads=1, device="cpu"
)


def divmod_from_one(number: int) -> tuple[int, int]:
    """Row and column on plates of 24 columns, from 1."""
    return number // 24 + 1, number % 24 + 1


def wells(prompts: int = 16, replicates: int = 2) -> Wells:
    generator = torch.Generator().manual_seed(0)
    n_wells = prompts * replicates
    codes = torch.arange(prompts).repeat(replicates)
    truth = torch.randn(prompts, 12, generator=generator)
    counts = torch.arange(n_wells) % 3 + 1
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    sites = truth[codes].repeat_interleave(counts, dim=0).unsqueeze(1).repeat(1, 3, 1)
    sites = sites + 0.1 * torch.randn(sites.shape, generator=generator)
    table = pd.DataFrame(
        {
            PLATE: [f"P{n // prompts}" for n in range(n_wells)],
            WELL: [well_name(*divmod_from_one(n % prompts)) for n in range(n_wells)],
            MODALITY: "compound",
            CONDITION: "compound",
            ROLE: "trt",
            N_SITES: counts.tolist(),
            PROMPT_DIGEST: [f"{int(code):02d}" for code in codes],
            GENE: [f"G{int(code) // 2}" for code in codes],
            TARGET_LIST: None,
        }
    )
    text = torch.randn(prompts, 10, generator=generator)
    digests = tuple(f"{n:02d}" for n in range(prompts))
    return Wells(
        table, WellBatch(sites.half(), offsets), codes, text, digests, {"a": "1"}, {"b": "2"}
    )


def wells_with_facts() -> Wells:
    """The same wells, with two sources of known facts of their prompts."""
    data = wells()
    n_prompts = len(data.digests)
    target = torch.eye(n_prompts)[torch.arange(n_prompts) // 2][:, : n_prompts // 2]
    marks = torch.arange(n_prompts)
    dose = torch.stack([marks % 2, marks % 3 == 0, marks % 5 == 0], dim=1).float()
    names = {"target": tuple(f"G{n}" for n in range(n_prompts // 2)), "dose": ("1", "2", "3")}
    return replace(data, text=torch.cat([data.text, target, dose], dim=1), fact_names=names)


def manifest_of(data: Wells, held_out: int = 4) -> pd.DataFrame:
    subset = ["validation" if code < held_out else "train" for code in data.prompt_of_well.tolist()]
    columns = data.table[[PLATE, WELL, MODALITY, GENE]].assign(
        **{ENTITY: "entity " + data.table[PROMPT_DIGEST]}
    )
    return columns.assign(**{SUBSET: subset})


class SilentLog:
    """Remembers which runs were opened, and logs nothing."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, epoch: int, metrics: object) -> None: ...

    def summarise(self, metrics: object) -> None: ...

    @contextmanager
    def nested(self, name: str) -> Iterator["SilentLog"]:
        self.names.append(name)
        yield self


class Interrupted(Exception):
    """What a test throws into a run."""


class StopAfter:
    """Tells nothing, and stops a run after an epoch."""

    def __init__(self, epoch: int | None) -> None:
        self.epoch = epoch

    def __call__(self, epoch: int, _: object) -> None:
        if epoch == self.epoch:
            raise Interrupted


def run(
    folder: Path,
    config: TrainingConfig = QUICK,
    stop_after: int | None = None,
    model: ModelConfig = MODEL,
) -> TrainingResult:
    data = wells()
    log = StopAfter(stop_after)
    return train(data, manifest_of(data), model, config, CheckpointStore(folder), log)


NO_DROPOUT = MODEL.model_copy(update={"proj_dropout": 0.0})


def gradients(
    world: World, device: str, data: Wells, config: TrainingConfig
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one uneven batch of 7 wells."""
    prepared = training_data(data, manifest_of(data), config, device)
    state = initial_state(prepared, NO_DROPOUT, config, device)
    state.model.double().train()  # so that what is compared is not rounding
    loss, _ = batch_loss(state, prepared, prepared.train[:7], config, device, world)
    loss.backward()
    world.average_gradients(state.model)
    named = state.model.named_parameters()
    return float(loss.detach()), {name: p.grad for name, p in named if p.grad is not None}


def die(world: World, *_: object) -> None:
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    world.wait()


def complain(*_: object) -> None:
    raise InputError("a sentence for the user; the remedy")


def listening_sockets() -> set[tuple[str, int]]:
    """Address (as Linux lists it, in hexadecimal) and port of every TCP socket of this process."""
    own = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own handle is gone by now
            own.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def knock_from_elsewhere(world: World, *_: object) -> tuple[list[object], list[object]]:
    """Sockets that another address of this machine reached, and all that listen, of both ranks."""
    sockets = sorted(listening_sockets())
    addresses = {
        info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    }
    elsewhere = [address for address in addresses if not address.startswith("127.")]
    reached: list[object] = []
    for _address, port in sockets:
        for address in elsewhere:
            with socket.socket() as client:
                client.settimeout(1)
                if client.connect_ex((address, port)) == 0:
                    reached.append((address, port))
    open_to_all = [one for one in sockets if one[0].strip("0") == ""]
    found: list[Any] = [None] * world.size
    torch.distributed.all_gather_object(found, (reached + open_to_all, sockets))
    return [one for part, _ in found for one in part], [one for _, part in found for one in part]


def wait_for_ever(world: World, _: object, __: object, folder: Path) -> None:
    (folder / "pids").mkdir(exist_ok=True)
    world.wait()
    (folder / "pids" / str(os.getpid())).touch()
    time.sleep(600)


def launch_and_wait(folder: Path) -> None:
    launch(wait_for_ever, 2, device="cpu", wells=wells(), folder=folder, args=(folder,))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class KillSoonAfter:
    """Ends the process without a word, a moment after an epoch."""

    def __init__(self, epoch: int, delay: float) -> None:
        self.epoch, self.delay = epoch, delay

    def __call__(self, epoch: int, _: object) -> None:
        if epoch == self.epoch:
            kill = threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL))
            kill.start()


def run_until_killed(folder: Path, delay: float) -> None:
    data = wells()
    log = KillSoonAfter(3, delay)
    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = -1.0  # as if epochs took long
    train(data, manifest_of(data), MODEL, QUICK, CheckpointStore(folder), log)


FEATURES = ImageFeaturesConfig(
    channels={"A": 1, "B": 2, "C": 3},
    preprocess={"size": 32},
    backbone={
        "kind": "untrained",
        "untrained": {"hidden_size": 12, "layers": 2, "heads": 3, "patch_size": 16},
    },
)
LORA = LoraConfig(rank=2, alpha=8, sites_per_well=None, batch_size=8, micro_batch=3, epochs=3)


def imaged_wells(prompts: int = 16, replicates: int = 2) -> ImagedWells:
    """Wells with random images of three channels; tokens are those of the frozen backbone."""
    data = wells(prompts, replicates)
    backbone = load_image_backbone(FEATURES.backbone, 3)
    n_sites = int(data.sites.offsets[-1])
    images = torch.rand(n_sites, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    fingerprint = dict(backbone.identity)
    plates = torch.tensor([int(plate[1]) for plate in data.table[PLATE]])
    sites = WellBatch(backbone(images).half(), data.sites.offsets)
    with_tokens = replace(data, sites=sites, image_fingerprint=fingerprint)
    return ImagedWells(
        **vars(with_tokens),
        images=tuple(partial(images.__getitem__, n) for n in range(n_sites)),
        plates=plates,
    )


def lora_gradients(
    world: World, device: str, data: ImagedWells, lora: LoraConfig, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Gradients of one uneven batch of 7 wells, of a backbone in training."""
    config = lora.applied_to(QUICK)
    prepared = training_data(data, manifest_of(data), config, device)
    tuning = FineTuning(lora, FEATURES, None)
    state = initial_state(prepared, NO_DROPOUT, config, device, tuning)
    state.model.to(dtype).train()
    state.model.backbone.dtype = dtype
    for name, weight in state.model.named_parameters():
        if "lora_B" in name:  # 0 at the start, where A has no gradient
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    accumulate_gradients(state, prepared, prepared.train[:7], config, device, world)
    world.average_gradients(state.model)
    named = state.model.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None}


def run_lora(
    folder: Path, lora: LoraConfig = LORA, stop_after: int | None = None, *, resume: bool = False
) -> TrainingResult:
    data = imaged_wells()
    training = lora.applied_to(QUICK.model_copy(update={"resume": resume}))
    tuning = FineTuning(lora, FEATURES, None)
    log = StopAfter(stop_after)
    store = CheckpointStore(folder)
    return train(data, manifest_of(data), MODEL, training, store, log, tuning)
