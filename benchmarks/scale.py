"""Work of JUMP's size: 1,500 plates, 100,000 treatments, 1.5 million wells.

Each job runs in a process of its own and says how long it took and how much memory the process held
at most, sampled every 20 ms. ``python -m benchmarks.scale`` runs all of it, for hours;
``python -m benchmarks.scale JOB SIZE`` one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WELLS, _CONTROLS = 384, 64
_SITES, _CHANNELS, _TEXT_DIM = 2, 5, 64
_REPLICATES = 5

Work = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """A job of one size: seconds of its work, and MB of the process at most."""

    job: str
    size: int
    seconds: float
    megabytes: float


class Sampled:
    """The most memory that this process held while it was watched."""

    def __init__(self) -> None:
        self.megabytes = 0.0

    def look(self) -> None:
        """Once more."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.megabytes = max(self.megabytes, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


@contextmanager
def sampled_memory() -> Iterator[Sampled]:
    """Sample this process's memory while the block runs."""
    sampled, ended = Sampled(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            sampled.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield sampled
    finally:
        ended.set()
        thread.join()
        sampled.look()


def well_index(n_plates: int, n_wells: int = WELLS) -> pd.DataFrame:
    """Compound plates with a sixth of controls; treatments in five replicates, 8,000 genes."""
    from morphoclip.schemas.ingestion import WELL_INDEX
    from morphoclip.well_names import well_name

    n_treated = n_wells - n_wells * _CONTROLS // WELLS
    names = [well_name(n // 24 + 1, n % 24 + 1) for n in range(n_wells)]
    place = np.tile(np.arange(n_wells), n_plates)
    plate = np.repeat(np.arange(n_plates), n_wells)
    is_control = place >= n_treated
    number = (plate * n_treated + place) % max(n_plates * n_treated // _REPLICATES, 1)
    sample = np.where(is_control, "DMSO", np.char.add("S", number.astype(str)))
    gene = pd.Series(np.char.add("G", (number % 8000).astype(str))).mask(pd.Series(is_control))
    table = pd.DataFrame(
        {
            "Metadata_Plate": np.char.add("P", np.char.zfill(plate.astype(str), 5)),
            "Metadata_Well": np.array(names)[place],
            "Metadata_role": np.where(is_control, "negcon", "trt"),
            "Metadata_modality": "compound",
            "Metadata_broad_sample": sample,
            "Metadata_gene": gene,
            "Metadata_target_list": gene,
            "Metadata_entity": sample,
            "Metadata_cell_type": "U2OS",
            "Metadata_timepoint": "48",
            "Metadata_condition": "compound|U2OS|48",
            "Metadata_n_sites": _SITES,
        }
    )
    missing = [name for name in WELL_INDEX.columns if name not in table]
    table = table.assign(**{name: pd.Series(None, table.index, dtype="str") for name in missing})
    return table[list(WELL_INDEX.columns)]


def profiles(n_plates: int, n_wells: int = WELLS) -> pd.DataFrame:
    """Profiles of 512 dimensions in which replicates resemble each other a little."""
    from morphoclip.columns import MODEL, PROMPT_DIGEST, QUALITY, REFERENCE, SUBSET

    wells = well_index(n_plates, n_wells)
    rng = np.random.default_rng(0)
    codes, names = pd.factorize(wells["Metadata_broad_sample"])
    effect = rng.standard_normal((len(names), 512), dtype=np.float32)
    values = rng.standard_normal((len(wells), 512), dtype=np.float32)
    for start in range(0, len(values), 2**14):
        values[start : start + 2**14] += 0.3 * effect[codes[start : start + 2**14]]
    wells = wells.assign(
        **{REFERENCE: (wells["Metadata_role"] == "negcon") & (wells.index % 2 == 0)},
        **{
            PROMPT_DIGEST: wells["Metadata_broad_sample"],
            MODEL: "0123456789abcdef",
            SUBSET: "test",
        },
        **{QUALITY: pd.Series(None, wells.index, dtype="str")},
    )
    columns = [f"embedding_{n:03d}" for n in range(512)]
    return pd.concat([wells, pd.DataFrame(values, columns=columns, copy=False)], axis=1)


def plate_files(folder: Path) -> Any:
    """The catalog's entry for packed features."""
    from morphoclip.datasets.partitions import Partitions

    return Partitions(
        path=str(folder / "plates"),
        filename_suffix=".pt",
        dataset={
            "type": "morphoclip.datasets.torch_file.TorchFileDataset",
            "codec": "morphoclip.features.plate_features.PlateFeatures",
            "mmap": True,
        },
    )


def write_plates(n_plates: int, dim: int, folder: Path) -> None:
    """Packed features, a well index and prompts, as the pipelines leave them."""
    import torch

    from morphoclip.features.plate_features import PlateFeatures
    from morphoclip.schemas.features import PROMPTS

    wells = well_index(n_plates)
    wells.to_parquet(folder / "wells.parquet")
    samples = wells.drop_duplicates("Metadata_broad_sample")
    samples = samples.assign(Metadata_cell_type=None, Metadata_timepoint=None)
    prompts = samples.reindex(columns=list(PROMPTS.columns))
    prompts["prompt"] = "Compound: " + samples["Metadata_broad_sample"]
    prompts["Metadata_prompt_digest"] = samples["Metadata_broad_sample"]
    prompts.to_parquet(folder / "prompts.parquet")
    files, generator = plate_files(folder), torch.Generator().manual_seed(0)
    names = wells["Metadata_Well"][:WELLS]
    places = [(well, site) for well in names for site in range(1, _SITES + 1)]
    for plate in wells["Metadata_Plate"].unique():
        tokens = torch.randn(len(places), _CHANNELS, dim, generator=generator)
        files.save({plate: PlateFeatures.pack(plate, places, tokens, {"a": "1"})})


def training_epoch(placement: str, folder: Path, *, cold: bool = True) -> Mapping[str, float]:
    """Seconds to put the wells of a folder together, and of one epoch of small towers.

    With ``cold`` the system forgets the files' pages before the epoch.
    """
    import torch

    from morphoclip.columns import SUBSET
    from morphoclip.features.text_features import TextFeatures
    from morphoclip.models.config import ModelConfig
    from morphoclip.schemas.splits import SPLIT_MANIFEST
    from morphoclip.training.config import TrainingConfig
    from morphoclip.training.data import training_data
    from morphoclip.training.epoch import train_one_epoch
    from morphoclip.training.trainer import initial_state
    from morphoclip.wells.assemble import assemble_wells

    torch.set_num_threads(1)
    wells = pd.read_parquet(folder / "wells.parquet")
    prompts = pd.read_parquet(folder / "prompts.parquet")
    digests = tuple(prompts["Metadata_prompt_digest"])
    texts = TextFeatures(digests, torch.randn(len(digests), _TEXT_DIM), {"b": "2"})
    model = ModelConfig(ccf_ff_dim=64, output_dim=64, proj_hidden_dim=64)
    config = TrainingConfig(device="cpu", placement=placement, stopping="none")
    started = time.perf_counter()
    joined = assemble_wells(
        plate_files(folder).load(),
        wells,
        prompts,
        texts,
        model.token_normalisation,
        config.host_placement,
    )
    assembled = time.perf_counter()
    manifest = wells.reindex(columns=list(SPLIT_MANIFEST.columns)).assign(**{SUBSET: "train"})
    data = training_data(joined, manifest, config, "cpu")
    state = initial_state(data, model, config, "cpu")
    if cold:
        for path in (folder / "plates").iterdir():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun = time.perf_counter()
    train_one_epoch(state, data, config, "cpu")
    return {"wells": assembled - started, "epoch": time.perf_counter() - begun}


def epochs(n_plates: int, *, dim: int = 32, rounds: int = 1) -> Iterator[Measured]:
    """An epoch from memory and one from the files, in turn."""
    with tempfile.TemporaryDirectory() as name:
        write_plates(n_plates, dim, Path(name))
        for placement in ("ram", "mmap") * rounds:
            said = _said(f"epoch from {placement}", name)
            for what in ("wells", "epoch"):
                job = f"training, {what}, {placement}"
                yield Measured(job, n_plates, said[what], said["megabytes"])


def benchmark(n_plates: int) -> Work:
    """Replicability, positions of controls and shared targets."""
    from morphoclip.columns import embedding_columns
    from morphoclip.evaluation.config import EvaluationConfig
    from morphoclip.metrics.benchmark import benchmark as run

    table = profiles(n_plates)
    columns = embedding_columns(table)
    matrix = table[columns].to_numpy()
    wells = table.drop(columns=columns)
    del table
    return lambda: run(wells, matrix, EvaluationConfig().null, profiles="model")


def embedding_quality(n_plates: int) -> Work:
    """Spread, plates and collapse of the joint space."""
    from morphoclip.pipelines.evaluation.nodes import score_embedding

    table = profiles(n_plates)
    texts = table.drop_duplicates("Metadata_prompt_digest")
    return lambda: score_embedding(table, texts)


def look_alikes(n_wells: int, *, n_asked: int = 1000) -> Work:
    """The ten most similar treatments of a thousand of them."""
    from morphoclip.columns import BROAD_SAMPLE
    from morphoclip.evaluation.nearest_treatments import nearest_treatments
    from morphoclip.schemas.ingestion import PERTURBATIONS

    table = profiles(-(-n_wells // WELLS))
    asked = set(table.loc[table["Metadata_role"] == "trt", BROAD_SAMPLE].unique()[:n_asked])
    known = pd.DataFrame(columns=list(PERTURBATIONS.columns))
    return lambda: nearest_treatments(table, known, top_k=10, samples=asked)


def retrieval(n_treatments: int) -> Work:
    """All texts ranked for all wells, three of each treatment, and its permutations."""
    from morphoclip.metrics.retrieval import permutation_test, retrieval_table, texts_by_modality

    rng = np.random.default_rng(0)
    text = rng.standard_normal((n_treatments, 512), dtype=np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    truth = np.repeat(np.arange(n_treatments), 3)
    image = text[truth] + 0.2 * rng.standard_normal((len(truth), 512), dtype=np.float32)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    modality = np.full(n_treatments, "compound")

    def work() -> object:
        table = retrieval_table(image, truth, text, modality)
        own = texts_by_modality(image, truth, text, modality)
        return table, permutation_test(own, null_size=1000, seed=0)

    return work


JOBS: Mapping[str, Callable[[int], Work]] = {
    "benchmark, plates": benchmark,
    "embedding quality, plates": embedding_quality,
    "look-alikes of 1,000 treatments, wells": look_alikes,
    "retrieval, treatments": retrieval,
}
"""What the size counts."""

SIZES: Mapping[str, tuple[int, ...]] = {
    "benchmark, plates": (94, 375, 1500),
    "embedding quality, plates": (94, 375, 1500),
    "look-alikes of 1,000 treatments, wells": (96_000, 384_000, 1_500_000),
    "retrieval, treatments": (6_250, 25_000, 100_000),
}
EPOCHS = (94, 375, 1500)


def measured(job: str, size: int) -> Measured:
    """Time and memory of one job in a process of its own."""
    said = _said(job, str(size))
    return Measured(job, size, said["seconds"], said["megabytes"])


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log value over log size: 1 where twice the work takes twice as much."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _said(job: str, argument: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale", "--here", job, argument]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def _here(job: str, argument: str) -> dict[str, float]:
    """A job in this process."""
    if job.startswith("epoch from "):
        with sampled_memory() as sampled:
            seconds = training_epoch(job.removeprefix("epoch from "), Path(argument))
        return {**seconds, "megabytes": sampled.megabytes}
    work = JOBS[job](int(argument))
    with sampled_memory() as sampled:
        started = time.perf_counter()
        work()
        seconds = {"seconds": time.perf_counter() - started}
    return {**seconds, "megabytes": sampled.megabytes}


def main() -> None:
    """All jobs, or one of one size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("job", nargs="?", help=", ".join((*JOBS, "training")))
    parser.add_argument("size", nargs="?")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(_here(given.job, given.size)))
        return
    for found in _asked_for(given.job, given.size and int(given.size)):
        print(
            f"{found.job} {found.size:,}: {found.seconds:.1f} s, {found.megabytes:,.0f} MB",
            flush=True,
        )


def _asked_for(job: str | None, size: int | None) -> Iterator[Measured]:
    if job in (None, "training"):
        for n_plates in [size] if size else EPOCHS:
            yield from epochs(n_plates)
    for name, sizes in SIZES.items():
        if job in (None, name):
            for own in [size] if size else sizes:
                yield measured(name, own)


if __name__ == "__main__":
    main()
