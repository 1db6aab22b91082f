"""Ablations from the command line: done cells are kept, and the base is cross-validation's."""

import shutil

import pandas as pd
import pytest
from project import Workspace

from morphoclip.columns import SUBSET
from morphoclip.errors import InputError
from morphoclip.schemas.evaluation import ABLATION_METRICS, ABLATION_TRAININGS

TRAINING = {"epochs": 2, "seeds": "1+2"}
GRID = {
    "grid": "mine",
    "grids": {"mine": {"model.ccf_layers": [1, 2], "text_features.level": ["name_only"]}},
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("ablation"))
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features", "text_features", "splitting")
    return workspace


def kept(workspace: Workspace) -> dict[str, int]:
    folder = workspace.data / "08_reporting/ablation_trainings"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


def test_without_a_grid_the_grids_are_listed(ready, caplog) -> None:
    before = kept(ready), set(ready.load("ablation_metrics"))
    ready.run("ablation")
    (said,) = [r.message for r in caplog.records if "choose a grid" in r.message]
    assert "spec: 7 cells, 7 trainings," in said
    assert (kept(ready), set(ready.load("ablation_metrics"))) == before


@pytest.mark.slow
def test_trainings_that_are_done_are_not_done_again(ready, monkeypatch) -> None:
    from morphoclip.ablation import trainings

    train, calls, before = trainings.train_members, [], kept(ready)

    def stop_at_the_third(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the power went")
        return train(*args, **kwargs)

    monkeypatch.setattr(trainings, "train_members", stop_at_the_third)
    with pytest.raises(RuntimeError, match="the power went"):
        ready.run("ablation", ablation=GRID, training=TRAINING)
    first = kept(ready)
    assert len(first) - len(before) == 2, "a kill loses the training that it hits"
    monkeypatch.setattr(trainings, "train_members", train)
    ready.run("ablation", ablation=GRID, training=TRAINING)
    assert len(kept(ready)) - len(before) == 6
    assert first.items() <= kept(ready).items()
    metrics = ready.load("ablation_metrics")["mine"]()
    ABLATION_METRICS.validate(metrics)
    assert list(metrics["parameter"]) == ["base", "model.ccf_layers", "text_features.level"]
    assert (metrics["n_seeds"] == 2).all()
    figure = ready.data / "08_reporting/ablation_figures/mine.png"
    assert figure.read_bytes()[1:4] == b"PNG"
    for load in ready.load("ablation_trainings").values():
        ABLATION_TRAININGS.validate(load())
    assert not list((ready.data / "06_models/checkpoints").rglob("*.pt")), "results are kept"

    ready.run("cross_validation", training=TRAINING)
    rows = ready.load("cross_validation_per_perturbation_retrieval")
    of_model = rows[rows["method"] == "model"]
    assert metrics.loc[0, "mrr"] == pytest.approx(of_model["mrr"].mean())
    nested = ready.mlflow().search_runs(["1"], "tags.`mlflow.parentRunId` != ''")
    named = {run.info.run_name for run in nested}
    assert "model.ccf_layers 2, fold 0, seed 1" in named


def test_a_cell_whose_split_cannot_be_made_is_left_out_with_the_reason(ready, caplog) -> None:
    grid = {"grid": "mine", "grids": {"mine": {"splitting.strategy": ["plate_held_out"]}}}
    ready.run("ablation", ablation=grid, training=TRAINING | {"epochs": 1})
    (said,) = [r.message for r in caplog.records if "is left out" in r.message]
    assert said.startswith("cell splitting.strategy plate_held_out is left out, its split ")
    assert list(ready.load("ablation_metrics")["mine"]()["parameter"]) == ["base"]


def test_heads_that_do_not_fit_are_told_before_anything_is_trained(ready) -> None:
    grid = {"grid": "mine", "grids": {"mine": {"model.ccf_heads": [5]}}}
    before = kept(ready)
    with pytest.raises(InputError, match=r"model\.ccf_heads 5 does not divide"):
        ready.run("ablation", ablation=grid, training={"epochs": 3})
    assert kept(ready) == before


def test_a_training_of_the_same_parameters_keeps_its_checkpoints(ready) -> None:
    ready.run("training", training={"epochs": 2, "seed": 7})
    folder = ready.data / "06_models/checkpoints"
    mine = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
    assert mine
    grid = {"grid": "mine", "grids": {"mine": {}}}
    ready.run("ablation", ablation=grid, training={"epochs": 2, "seed": 7})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")} == mine
    shutil.rmtree(folder)


def test_a_feature_set_that_is_not_there_is_named(ready) -> None:
    grid = {"grid": "mine", "grids": {"mine": {"image_features.name": ["nowhere"]}}}
    before = kept(ready)
    with pytest.raises(InputError, match="no feature set nowhere; there are default"):
        ready.run("ablation", ablation=grid, training=TRAINING | {"epochs": 1})
    assert kept(ready) == before, "the base cell comes first, and waits for what follows"


def test_tables_of_trainings_name_no_subset(ready) -> None:
    grid = {"grid": "mine", "grids": {"mine": {}}}
    ready.run("ablation", ablation=grid, training=TRAINING | {"epochs": 1})
    load = next(iter(ready.load("ablation_trainings").values()))
    assert isinstance(load(), pd.DataFrame)
    assert SUBSET not in load().columns
