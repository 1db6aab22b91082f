"""The most memory that the largest tables and plates take, each in a process of its own."""

import atexit
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize

from benchmarks.growth import peak_megabytes
from morphoclip.columns import PLATE, WELL

PLATES = {"compound": (25, 306), "crispr": (14, 335), "orf": (12, 175)}
"""CPJUMP1's plates and texts of each modality, nearly: 51 plates, 816 texts."""

_WELLS, _CONTROLS, _DIM = 384, 64, 512


@dataclass(frozen=True)
class Peak:
    """``held`` MB before the work began (libraries and its input), ``peak`` MB at most."""

    job: str
    seconds: float
    held: float
    peak: float


class Profiles(NamedTuple):
    """What the evaluation reads."""

    wells: pd.DataFrame
    texts: pd.DataFrame
    prompts: pd.DataFrame
    perturbations: pd.DataFrame


def wells_of_plates(plates: dict[str, tuple[int, int]], n_wells: int = _WELLS) -> pd.DataFrame:
    """A well index, with a prompt's digest and a subset for each well."""
    from morphoclip.columns import PROMPT_DIGEST, SUBSET
    from morphoclip.schemas.ingestion import WELL_INDEX
    from morphoclip.well_names import well_name

    rows: list[dict[str, Any]] = []
    for modality, (n_plates, n_texts) in plates.items():
        for n in range(n_plates * n_wells):
            plate, well = divmod(n, n_wells)
            is_control = well >= n_wells - n_wells * _CONTROLS // _WELLS
            number = (plate * n_wells + well) % (n_texts - 1)
            sample = f"{modality} {'control' if is_control else number}"
            cells, hours = ("U2OS", "A549")[plate % 2], ("24", "48")[plate // 2 % 2]
            held_out = "validation" if number % 10 == 1 else "test"
            rows.append(
                {
                    "Metadata_Plate": f"{modality}-{plate}",
                    "Metadata_Well": well_name(well // 24 + 1, well % 24 + 1),
                    "Metadata_role": "negcon" if is_control else "trt",
                    "Metadata_modality": modality,
                    "Metadata_broad_sample": sample,
                    "Metadata_gene": None if is_control else f"GENE{number % 160}",
                    "Metadata_target_list": None if is_control else f"GENE{number % 160}",
                    "Metadata_entity": sample,
                    "Metadata_cell_type": cells,
                    "Metadata_timepoint": hours,
                    "Metadata_condition": f"{modality}|{cells}|{hours}",
                    "Metadata_n_sites": 9,
                    PROMPT_DIGEST: sample,
                    SUBSET: "excluded" if is_control else ("train" if number % 5 > 1 else held_out),
                }
            )
    table = pd.DataFrame(rows)
    missing = [name for name in WELL_INDEX.columns if name not in table]
    table = table.assign(**{name: pd.Series(None, table.index, dtype="str") for name in missing})
    return table[[*WELL_INDEX.columns, PROMPT_DIGEST, SUBSET]]


def profiles_of_plates(plates: dict[str, tuple[int, int]], n_wells: int = _WELLS) -> Profiles:
    """Profiles of 512 dimensions that resemble their texts a little."""
    from morphoclip.columns import MODEL, PROMPT_DIGEST, QUALITY, REFERENCE
    from morphoclip.schemas.features import PROMPTS
    from morphoclip.schemas.ingestion import PERTURBATIONS

    wells = wells_of_plates(plates, n_wells)
    rng = np.random.default_rng(0)
    samples = wells.drop_duplicates("Metadata_broad_sample").reset_index(drop=True)
    names = [f"embedding_{n:03d}" for n in range(_DIM)]
    words = normalize(rng.standard_normal((len(samples), _DIM), dtype=np.float32))
    row_of = {digest: n for n, digest in enumerate(samples[PROMPT_DIGEST])}
    of_wells = words[wells[PROMPT_DIGEST].map(row_of)]
    looks = normalize(of_wells + 0.2 * rng.standard_normal(of_wells.shape, dtype=np.float32))
    wells = wells.assign(
        **{REFERENCE: (wells["Metadata_role"] == "negcon") & (wells.index % 2 == 0)},
        **{QUALITY: pd.Series(None, wells.index, dtype="str"), MODEL: "0123456789abcdef"},
    )
    perturbations = samples.reindex(columns=list(PERTURBATIONS.columns))
    of_any_cells = samples.assign(Metadata_cell_type=None, Metadata_timepoint=None)
    prompts = of_any_cells.reindex(columns=list(PROMPTS.columns))
    prompts["prompt"] = "What was done: " + samples["Metadata_broad_sample"]
    return Profiles(
        pd.concat([wells, pd.DataFrame(looks, columns=names)], axis=1),
        pd.concat([samples[[PROMPT_DIGEST]], pd.DataFrame(words, columns=names)], axis=1),
        prompts,
        perturbations,
    )


def plate_extraction(n_wells: int = _WELLS) -> Callable[[], Any]:
    """One plate of 16 sites a well, five channels of 1,080 pixels, to packed features."""
    import torch

    from benchmarks.images import synthetic_plane, tiff_bytes
    from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
    from morphoclip.backbones.image import load_image_backbone
    from morphoclip.features.extract import extract_features
    from morphoclip.features.plate_features import PlateFeatures
    from morphoclip.imaging.config import PreprocessConfig
    from morphoclip.imaging.grey_levels import GreyRange
    from morphoclip.imaging.preprocess import ImageFile, SiteImages, prepare_sites
    from morphoclip.imaging.tiff import opened_tiffs
    from morphoclip.well_names import well_name

    content = tiff_bytes(synthetic_plane(), compression="lzw")
    channels = ("MITO", "AGP", "RNA", "ER", "DNA")
    opened, files = opened_tiffs(lambda _: content), {name: ImageFile("x") for name in channels}
    ranges = {"P": {name: GreyRange(0, 3000) for name in channels}}
    sites = [
        SiteImages("P", well_name(n // 24 + 1, n % 24 + 1), site, files, opened)
        for n in range(n_wells)
        for site in range(1, 17)
    ]
    backbone = load_image_backbone(
        ImageBackboneConfig(kind="untrained", untrained=UntrainedViT()), len(channels)
    )
    config = PreprocessConfig(workers=2, size=64)

    def work() -> PlateFeatures:
        prepared = prepare_sites(sites, ranges, config, ahead=32)
        batches = extract_features(prepared, backbone, batch_size=16, device="cpu")
        places, features = [], []
        for batch in batches:
            places += [(site.images.well, site.images.site) for site in batch.usable]
            features += [each.half() for each in batch.features]
        return PlateFeatures.pack("P", places, torch.stack(features), {"a": "1"})

    return work


def embedding(
    plates: dict[str, tuple[int, int]] = PLATES, n_wells: int = _WELLS
) -> Callable[[], Any]:
    """Packed features of all plates, 9 sites a well, on disk, to wells and their embedding."""
    import torch

    from morphoclip.columns import PROMPT_DIGEST
    from morphoclip.datasets.torch_file import TorchFileDataset
    from morphoclip.features.plate_features import PlateFeatures
    from morphoclip.features.text_features import TextFeatures
    from morphoclip.models.config import ModelConfig, ModelShape
    from morphoclip.models.embedding import embed
    from morphoclip.models.morphoclip import MorphoCLIP
    from morphoclip.wells.assemble import assemble_wells

    wells, _, prompts, _ = profiles_of_plates(plates, n_wells)
    wells = wells.drop(columns=[name for name in wells if name.startswith("embedding_")])
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    files = {}
    for plate, rows in wells.groupby(PLATE):
        places = [(well, site) for well in rows[WELL] for site in range(1, 10)]
        files[plate] = TorchFileDataset(
            filepath=str(folder / f"{plate}.pt"),
            codec="morphoclip.features.plate_features.PlateFeatures",
            mmap=True,
        )
        tokens = torch.randn(len(places), 5, 1024)
        files[plate].save(PlateFeatures.pack(plate, places, tokens, {"a": "1"}))
    digests = tuple(prompts[PROMPT_DIGEST])
    texts = TextFeatures(digests, torch.randn(len(digests), 768), {"b": "2"})
    config = ModelConfig()
    model = MorphoCLIP(config, ModelShape(n_channels=5, feature_dim=1024, text_dim=768))

    def work() -> Any:
        loaders = {plate: file.load for plate, file in files.items()}
        joined = assemble_wells(
            loaders, wells.drop(columns=PROMPT_DIGEST), prompts, texts, config.token_normalisation
        )
        return embed(model, joined, batch_size=512, device="cpu")

    return work


def evaluation(node: str, plates: dict[str, tuple[int, int]] = PLATES) -> Callable[[], Any]:
    """A node of the evaluation on profiles of all plates."""
    from morphoclip.evaluation.anndata_profiles import wells_and_consensus
    from morphoclip.evaluation.config import EvaluationConfig
    from morphoclip.pipelines.evaluation import nodes

    wells, texts, prompts, perturbations = profiles_of_plates(plates)
    config = EvaluationConfig()
    plain = {"input features": _mean_features(wells)} if node == "score_matching" else {}
    calls: dict[str, Callable[[], Any]] = {
        "score_retrieval": lambda: nodes.score_retrieval(wells, texts, config),
        "score_matching": lambda: nodes.score_matching(wells, plain, config),
        "score_embedding": lambda: nodes.score_embedding(wells, texts),
        "find_treatments": lambda: nodes.find_treatments(
            wells, texts, prompts, perturbations, config
        ),
        "write_anndata": lambda: wells_and_consensus(wells, config),
    }
    return calls[node]


def _mean_features(wells: pd.DataFrame) -> pd.DataFrame:
    """Noise of the size of each well's mean tokens."""
    values = np.random.default_rng(1).standard_normal((len(wells), 5 * 1024), dtype=np.float32)
    return pd.DataFrame(values, pd.MultiIndex.from_frame(wells[[PLATE, WELL]]))


def leakage(n_plates: int = 521) -> Callable[[], Any]:
    """The leakage report of 200,000 wells, 30,000 treatments."""
    from morphoclip.schemas.splits import SPLIT_MANIFEST
    from morphoclip.splits.leakage import leakage_report

    wells, _, prompts, perturbations = profiles_of_plates({"compound": (n_plates, 30_000)})
    manifest = wells.reindex(columns=list(SPLIT_MANIFEST.columns))
    wells = wells.drop(columns=[name for name in wells if name.startswith("embedding_")])
    return lambda: leakage_report(manifest, wells, perturbations, prompts, {"entity"})


JOBS: dict[str, Callable[[], Callable[[], Any]]] = {
    "extraction, 384 wells x 16 sites": plate_extraction,
    "embedding, 19,584 wells of 9 sites": embedding,
    **{
        f"evaluation, 19,584 wells x 816 texts, {name}": partial(evaluation, name)
        for name in (
            "score_retrieval",
            "score_matching",
            "score_embedding",
            "find_treatments",
            "write_anndata",
        )
    },
    "leakage, 200,000 wells": leakage,
}


def peak(job: str) -> Peak:
    """Time and memory of one job."""
    command = [sys.executable, "-m", "benchmarks.peaks", job]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, held, most = said.split()[-3:]
    return Peak(job, float(seconds), float(held), float(most))


def main() -> None:
    """One job, for `peak`."""
    work = JOBS[sys.argv[1]]()
    Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak is of the work
    held = peak_megabytes()
    start = time.perf_counter()
    work()
    print(time.perf_counter() - start, held, peak_megabytes())


if __name__ == "__main__":
    main()
