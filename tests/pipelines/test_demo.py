"""The demo's claims: held-out perturbations are found, shuffled ones are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from project import Workspace

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    PLATE,
    ROLE,
    TARGET_LIST,
)
from morphoclip.evaluation.held_out_retrieval import held_out_retrieval
from morphoclip.evaluation.profiles import (
    embed_with,
    prompt_embeddings,
    well_profiles,
    with_subsets,
)
from morphoclip.splits.manifest import assign_subsets
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.trainer import train
from morphoclip.wells.assemble import assemble_wells

SEEDS = (1, 2, 3)
"""Fixed before the first run: they split the wells and start the training."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Workspace:
    """The demo's own plates and features, as `make demo` makes them."""
    workspace = Workspace(tmp_path_factory.mktemp("demo"), env="demo")
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features", "text_features")
    return workspace


def headline(demo: Workspace, folder: Path, well_index: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Train and score once: the perturbation-level image-to-text MRR by scope, with chance."""
    context = demo.context()
    catalog: DataCatalog = context.catalog
    params = context.params
    wells = assemble_wells(
        catalog.load("plate_features"),
        well_index,
        catalog.load("prompts"),
        catalog.load("text_features"),
        params["model"].token_normalisation,
    )
    manifest = assign_subsets(well_index, params["splitting"].model_copy(update={"seed": seed}))
    training = params["training"].model_copy(update={"seed": seed})
    model = train(
        wells, manifest, params["model"], training, CheckpointStore(folder), lambda *_: None
    ).model
    embedded = embed_with(model, wells, batch_size=512, device="cpu")
    profiles = with_subsets(well_profiles(embedded, wells, model.digest, None), manifest)
    metrics = held_out_retrieval(profiles, prompt_embeddings(embedded, wells), params["evaluation"])
    rows = metrics.retrieval.query(
        "subset == 'test' and level == 'perturbation' and direction == 'image_to_text'"
        " and metric == 'mrr'"
    )
    return rows.set_index("scope")


def shuffled(well_index: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Treated wells of each plate paired with the perturbations of other wells."""
    wells = well_index.copy()
    columns = [BROAD_SAMPLE, GENE, TARGET_LIST, ENTITY, ROLE, "Metadata_perturbation_type"]
    rng = np.random.default_rng(seed)
    for _, rows in wells[~wells[ROLE].isin(["negcon", "empty"])].groupby(PLATE):
        wells.loc[rows.index, columns] = rows[columns].to_numpy()[rng.permutation(len(rows))]
    return wells


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_perturbations_are_found_within_their_modality(demo, tmp_path, seed: int) -> None:
    mrr = headline(demo, tmp_path, demo.load("well_index"), seed)
    assert mrr.loc["within_modality", "value"] >= 1.5 * mrr.loc["within_modality", "chance"]
    assert (mrr.loc[["compound", "crispr", "orf"], "n_queries"] >= 12).all()


@pytest.mark.slow
def test_wells_paired_with_wrong_perturbations_are_found_by_chance(demo, tmp_path) -> None:
    well_index = demo.load("well_index")
    ratios = []
    for seed in SEEDS:
        mrr = headline(demo, tmp_path / str(seed), shuffled(well_index, seed), seed)
        ratios.append(mrr.loc["within_modality", "value"] / mrr.loc["within_modality", "chance"])
    assert 0.8 <= np.mean(ratios) <= 1.2, ratios


def test_the_truth_says_what_was_planted(demo) -> None:
    truth = demo.load("demo_truth")
    latents = truth.iloc[:, 4:].to_numpy()
    same = truth["family"].to_numpy()[:, None] == truth["family"].to_numpy()
    alike = np.corrcoef(latents)
    other = ~np.eye(len(truth), dtype=bool)
    assert alike[same & other].mean() > alike[~same].mean() + 0.4
