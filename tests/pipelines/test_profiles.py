"""The main job on real CellProfiler profiles."""

import pandas as pd
import pytest
from project import Workspace

from morphoclip.columns import (
    CELL_TYPE,
    N_SITES,
    PLATE,
    SUBSET,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError


@pytest.fixture(scope="module")
def finished(tmp_path_factory, gallery, real_data) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("profiles"), env="profiles")
    source = {
        "root": str(gallery),
        "experiment_metadata": str(real_data / "cpjump1/experiment-metadata.tsv"),
    }
    training = {"epochs": 3, "inner_folds": 2, "members": 2, "batch_size": 256, "cpu_threads": 1}
    few = {"null_size": 2000, "bootstrap_draws": 200}
    workspace.run("profiles", ingestion={"source": source}, training=training, evaluation=few)
    workspace.source = source
    return workspace


def test_three_real_plates_become_one_token_a_well(finished) -> None:
    for load in finished.load("plate_features").values():
        assert load().tokens.shape == (384, 1, 904)
    wells = finished.load("well_index")
    assert (wells[N_SITES] == 1).all()
    conditions = wells.drop_duplicates(PLATE).set_index(PLATE)[[CELL_TYPE, TIMEPOINT]]
    assert conditions.T.to_dict("list") == {
        "BR00117010": ["U2OS", "48"],
        "BR00117011": ["U2OS", "48"],
        "BR00117024": ["U2OS", "24"],
    }


def test_the_split_of_real_compounds_does_not_leak(finished) -> None:
    manifest = finished.load("split_manifest")
    report = finished.load("leakage_report")
    assert (report["verdict"] != "LEAK").all()
    wells = manifest[SUBSET].value_counts()
    assert wells.sum() == 1152
    assert wells["excluded"] == 3 * 64


def test_retrieval_is_scored_beside_chance_and_the_report_names_no_path(finished) -> None:
    table = finished.load("retrieval_metrics")
    mrr = table[(table["metric"] == "mrr") & (table["level"] == "perturbation")]
    assert mrr["n_candidates"].between(29, 31).all()
    assert mrr["chance"].between(0.12, 0.14).all()
    page = finished.load("report")
    assert "published CellProfiler profiles" in page
    assert finished.source["root"] not in page


@pytest.mark.slow
def test_one_plate_or_two_can_be_named(tmp_path, gallery) -> None:
    workspace = Workspace(tmp_path, env="profiles")
    workspace.run(
        "profiles",
        ingestion={"source": {"root": str(gallery)}, "plates": "BR00117010+BR00117024"},
        training={"epochs": 1, "inner_folds": 2, "members": 1},
    )
    wells = workspace.load("well_index")
    assert sorted(wells[PLATE].unique()) == ["BR00117010", "BR00117024"]
    assert wells[CELL_TYPE].isna().all(), "without experiment metadata nothing is made up"
    assert "timepoint and density of the plates are not known" in workspace.load("report")


def test_published_profiles_are_scored_as_anybodys(finished, gallery, tmp_path) -> None:
    parts = [pd.read_csv(path) for path in sorted(gallery.rglob("*_negcon_batch.csv.gz"))]
    mine = pd.concat(parts, ignore_index=True).drop(columns=["Metadata_broad_sample"])
    mine.to_parquet(tmp_path / "mine.parquet")
    finished.run(
        "score_profiles",
        score_profiles={"path": str(tmp_path / "mine.parquet"), "name": "CellProfiler"},
        evaluation={"null_size": 2000},
    )
    tracks = finished.load("external_benchmark_metrics").set_index(["task", "track", "stratum"])
    late = tracks.loc[("replicability", "compound|U2OS|48|100|absent|Parental", "all")]
    assert late["n_groups"] == 306
    assert late["mean_average_precision"] > 4 * late["chance"]
    matching = finished.load("external_matching_metrics")
    assert "auroc" not in set(matching["metric"]), "published profiles are centred on controls"
    first = matching[(matching["task"] == "identification") & (matching["metric"] == "recall@1")]
    assert (first["value"] > 3 * first["chance"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=WELL), r"lacks the column\(s\) Metadata_Well"),
        (lambda t: pd.concat([t, t.head(1)]), "more than once, e.g. BR00117010 A01"),
        (lambda t: t.assign(**{PLATE: "X"}), r"not in the well index: X A01, X A02, X A03 \(\+1 "),
        (lambda t: t.assign(f=float("nan")), "no column .* is a feature that is finite everywhere"),
    ],
)
def test_profiles_that_cannot_be_scored_are_told(finished, tmp_path, change, message: str) -> None:
    wells = ["A01", "A02", "A03", "A04"]
    change(pd.DataFrame({PLATE: "BR00117010", WELL: wells, "f": 1.0})).to_csv(
        tmp_path / "mine.csv", index=False
    )
    with pytest.raises(InputError, match=message):
        finished.run("score_profiles", score_profiles={"path": str(tmp_path / "mine.csv")})
