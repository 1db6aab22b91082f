"""The trainings of a grid, one after the other: those that are done are not done again."""

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from morphoclip.ablation.cells import Cell, training_key
from morphoclip.backbones.text import load_text_backbone
from morphoclip.columns import (
    BROAD_SAMPLE,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.device import resolve_device
from morphoclip.errors import InputError, example_of
from morphoclip.evaluation.cross_validation import split_of_fold
from morphoclip.evaluation.per_perturbation import mean_of_directions, rows_of_model
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures, cache_key, encode_prompts
from morphoclip.fingerprint import Fingerprint
from morphoclip.loaders import Loaders
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.perturbations.wording import PromptTemplates
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.schemas.evaluation import ABLATION_TRAININGS
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.members import train_members
from morphoclip.training.run_log import RunLog
from morphoclip.training.trainer import seconds_of_an_epoch
from morphoclip.wells.assemble import Wells, assemble_wells

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AblationData:
    """What every cell reads; hashable by identity, so that what is put together is kept."""

    feature_sets: Loaders[PlateFeatures]
    well_index: pd.DataFrame
    perturbations: pd.DataFrame
    templates: PromptTemplates
    text_cache: Loaders[TextFeatures]

    __hash__ = object.__hash__


@dataclass(frozen=True)
class PreparedCell:
    """A cell's wells and prompts, and what its trainings are called by."""

    wells: Wells
    prompts: pd.DataFrame
    perturbations_sha256: str

    def key(self, cell: Cell, fold: int, seed: int) -> str:
        """The name of one training."""
        data: dict[str, str | Fingerprint] = {
            "wells": self.wells.sha256,
            "image": self.wells.image_fingerprint,
            "text": self.wells.text_fingerprint,
            "metadata": self.perturbations_sha256,
            "directions": "both",
        }
        return training_key(cell, fold, seed, data)


def prepare(data: AblationData, cell: Cell) -> PreparedCell:
    """Prompts, text features and wells of a cell.

    Raises:
        InputError: Its feature set or its texts cannot be had.
    """
    settings = cell.settings
    texts = settings.text_features.model_dump_json()
    prompts, _ = _texts(data, texts)
    wells = _wells(data, settings.feature_set, str(settings.model.token_normalisation), texts)
    facts = data.perturbations.to_csv().encode() + data.well_index.to_csv().encode()
    return PreparedCell(wells, prompts, hashlib.sha256(facts).hexdigest()[:16])


@lru_cache(maxsize=8)
def _texts(data: AblationData, config_json: str) -> tuple[pd.DataFrame, TextFeatures]:
    config = TextFeaturesConfig.model_validate_json(config_json)
    prompts = prompt_table(
        data.perturbations, data.well_index, config.level, data.templates, config.context
    )
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    key = cache_key(backbone)
    cached = data.text_cache[key]() if key in data.text_cache else None
    features = encode_prompts(list(prompts[PROMPT]), backbone, cached).features
    return prompts, features.with_facts(data.perturbations, prompts, config.facts)


@lru_cache(maxsize=1)  # all of CPJUMP1 fills 2 GB
def _wells(data: AblationData, feature_set: str, normalisation: str, config_json: str) -> Wells:
    plates = _plates_of(data, feature_set)
    prompts, features = _texts(data, config_json)
    return assemble_wells(
        plates, data.well_index, prompts, features, TokenNormalisation(normalisation)
    )


def _plates_of(data: AblationData, feature_set: str) -> Loaders[PlateFeatures]:
    prefix = f"{feature_set}/"
    plates = {
        key.removeprefix(prefix): load
        for key, load in data.feature_sets.items()
        if key.startswith(prefix)
    }
    if not plates:
        names = sorted({key.partition("/")[0] for key in data.feature_sets})
        raise InputError(
            f"there is no feature set {feature_set}; there are {example_of(names) or 'none'}: run "
            f"kedro run --pipeline image_features --params image_features.name:{feature_set}"
        )
    imaged = data.well_index.loc[data.well_index[N_SITES] > 0, PLATE]
    absent = sorted(set(imaged) - set(plates))
    if absent:
        raise InputError(
            f"{len(absent)} plate(s) have no features in the set {feature_set}: "
            f"{example_of(absent)}; run kedro run --pipeline image_features --params "
            f"image_features.name:{feature_set}"
        )
    return plates


def train_cells(
    data: AblationData,
    cells: list[Cell],
    done: Loaders[pd.DataFrame],
    checkpoints: CheckpointStore,
    log: RunLog,
) -> Iterator[dict[str, pd.DataFrame]]:
    """Train what is not done yet; one table per training, by its key, as soon as it is there.

    Raises:
        InputError: As splitting and training do.
    """
    n_trainings = sum(cell.n_trainings for cell in cells)
    number = 0
    for cell in cells:
        prepared = prepare(data, cell)
        for fold in range(cell.folds):
            for seed in cell.seeds:
                number += 1
                key = prepared.key(cell, fold, seed)
                if key in done:
                    logger.info("%d of %d, %s: done before", number, n_trainings, cell.name)
                    continue
                name = f"{cell.name}, fold {fold}, seed {seed}"
                with log.nested(name) as nested:
                    rows = _train_one(data, prepared, cell, fold, seed, checkpoints, nested)
                logger.info(
                    "%d of %d, %s: held-out MRR %.3f, chance %.3f, %.0f s",
                    number, n_trainings, name,
                    rows["mrr"].mean(), rows["mrr_chance"].mean(), rows["seconds"].iloc[0],
                )  # fmt: skip
                yield {key: rows}


def require_trainable(data: AblationData, cell: Cell) -> None:
    """Refuse, before hours of training, a cell that could not be trained.

    Raises:
        InputError: Features are missing, or do not fit the model.
    """
    plates = _plates_of(data, cell.settings.feature_set)
    tokens = next(iter(plates.values()))().tokens
    cell.settings.model.require_fits(tokens.shape[-1])


def why_no_split(data: AblationData, cell: Cell) -> str | None:
    """Why some fold of a cell's split cannot be made, or lacks wells; None where all can."""
    prompts, _ = _texts(data, cell.settings.text_features.model_dump_json())
    for fold in range(cell.folds):
        try:
            manifest = split_of_fold(
                cell.settings.splitting.of_fold(fold), data.well_index, data.perturbations, prompts
            )
        except InputError as error:
            return str(error)
        needed = {str(s) for s in (Subset.TRAIN, Subset.VALIDATION, Subset.TEST)}
        if absent := needed - set(manifest[SUBSET]):
            return f"there are no {' and no '.join(sorted(absent))} wells"
    return None


def _train_one(
    data: AblationData,
    prepared: PreparedCell,
    cell: Cell,
    fold: int,
    seed: int,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """Rows of the held-out perturbations of one training."""
    started = time.perf_counter()
    settings = cell.settings
    manifest = split_of_fold(
        settings.splitting.of_fold(fold), data.well_index, data.perturbations, prepared.prompts
    )
    config = settings.training.of_seed(seed, resume=False)
    own = checkpoints.below("ablation")  # a training of the same parameters keeps its own
    result = train_members(prepared.wells, manifest, settings.model, config, own, log)
    own.delete_opened()
    ranked = rows_of_model(
        result.model,
        prepared.wells,
        manifest,
        batch_size=config.batch_size,
        device=config.device,
    )
    log.summarise(
        {"test.mrr": ranked["mrr"].mean(), "test.mrr.chance": ranked["mrr_chance"].mean()}
    )
    treatments = _held_out(data, prepared, manifest)
    ranked = mean_of_directions(ranked)
    rows = ranked.merge(treatments, on=[MODALITY, PROMPT_DIGEST]).assign(
        fold=fold,
        seed=seed,
        epochs=int(result.history["epoch"].max()),
        seconds=time.perf_counter() - started,
    )
    return rows[list(ABLATION_TRAININGS.columns)]


def _held_out(data: AblationData, prepared: PreparedCell, manifest: pd.DataFrame) -> pd.DataFrame:
    """Perturbations with test wells, each with its prompts."""
    tested = manifest.loc[manifest[SUBSET] == Subset.TEST, [PLATE, WELL]]
    samples = tested.merge(data.well_index, on=[PLATE, WELL])[[MODALITY, BROAD_SAMPLE]]
    prompts = prepared.prompts[[MODALITY, BROAD_SAMPLE, PROMPT_DIGEST]].drop_duplicates()
    return prompts.merge(samples.drop_duplicates(), on=[MODALITY, BROAD_SAMPLE])


def most_seconds(data: AblationData, base: Cell) -> float:
    """Seconds of a training of the base cell that does not stop early, by one epoch here."""
    prepared, settings = prepare(data, base), base.settings
    manifest = split_of_fold(
        settings.splitting.of_fold(0), data.well_index, data.perturbations, prepared.prompts
    )
    epoch = seconds_of_an_epoch(prepared.wells, manifest, settings.model, settings.training)
    return epoch * settings.training.epochs
