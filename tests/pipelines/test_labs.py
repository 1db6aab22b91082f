"""From a lab's folder and table to features, a model, reports and profiles that others read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lab_plates import lab, wells_table
from project import Workspace

from morphoclip.columns import PLATE, QUALITY, ROLE, WELL, embedding_columns
from morphoclip.errors import InputError

pytestmark = pytest.mark.slow

STAGES = ("ingestion", "image_features", "text_features", "splitting", "training", "evaluation")


def newest(workspace: Workspace, name: str) -> Path:
    found = sorted((workspace.data / "08_reporting" / name).glob(f"*/{name}"))
    assert found, f"{name} was not written"
    return found[-1]


@pytest.mark.parametrize(
    ("road", "n_wells", "ending"),
    [
        ("imagexpress", 24, "csv"),
        ("cellvoyager", 96, "xlsx"),
        ("LoadData", 96, "parquet"),
        ("OME-Zarr", 24, "csv"),
        ("RGB", 384, "csv"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what scanpy and pycytominer say of pandas and others
def test_a_folder_and_a_table_become_a_model_reports_and_profiles(
    tmp_path, road: str, n_wells: int, ending: str
) -> None:
    import scanpy
    from pycytominer import aggregate
    from pycytominer.cyto_utils import infer_cp_features, load_profiles

    params = lab(tmp_path, road, wells_table(n_wells), ending)
    workspace = Workspace(tmp_path)
    workspace.run("plate_report", **params)
    workspace.run(*STAGES, **params)

    profiles = workspace.load("well_profiles")
    assert len(profiles) == 2 * (n_wells - 1)  # all but the empty wells
    plain = workspace.load("image_profiles")
    assert plain[ROLE].value_counts()["empty"] == 2
    assert plain.loc[plain[ROLE] == "empty", QUALITY].isna().all()
    for report in ("report.html", "plate_report.html"):
        text = newest(workspace, report).read_text(encoding="utf-8")
        assert "P1" in text
        assert str(tmp_path) not in text

    wells = scanpy.read_h5ad(newest(workspace, "well_profiles.h5ad"))
    embedding = profiles[embedding_columns(profiles)].to_numpy()
    np.testing.assert_array_equal(wells.X, embedding)
    assert wells.obsm["X_umap"].shape == (len(profiles), 2)
    for column in (PLATE, WELL, ROLE):
        assert list(wells.obs[column]) == list(profiles[column])
    consensus = scanpy.read_h5ad(newest(workspace, "consensus_profiles.h5ad"))
    assert consensus.n_obs == 9  # eight compounds and their control
    one = (profiles["Metadata_broad_sample"] == "compound-3").to_numpy()
    row = list(consensus.obs["Metadata_broad_sample"]).index("compound-3")
    np.testing.assert_allclose(
        consensus.X[row], np.median(embedding[one], axis=0), rtol=1e-6, atol=1e-7
    )
    scanpy.pp.neighbors(wells, use_rep="X", n_neighbors=5)  # what a user does next

    for path in ("well_profiles.h5ad", "well_profiles.parquet"):
        table = load_profiles(str(newest(workspace, path)))
        assert len(table) == len(profiles)
        features = embedding_columns(table)
        medians = aggregate(table, strata=[PLATE, "Metadata_broad_sample"], features=features)
        assert len(medians) == 2 * 9
        assert {PLATE, WELL, ROLE} <= set(infer_cp_features(table, metadata=True))
    pd.testing.assert_frame_equal(
        pd.read_parquet(newest(workspace, "well_profiles.parquet"))[[PLATE, WELL]],
        profiles[[PLATE, WELL]],
    )


def test_profiles_made_elsewhere_take_the_same_table_of_wells(tmp_path) -> None:
    """CytoTable's single cells of three plates, in a folder of files, to a report and a score."""
    table = wells_table(96, plates=("P1", "P2", "P3"))
    path, folder = tmp_path / "wells.csv", tmp_path / "profiles"
    table.to_csv(path, index=False)
    folder.mkdir()
    rng = np.random.default_rng(0)
    imaged = table[table["control"] != "empty"]
    for plate, rows in imaged.groupby("plate"):
        cells = rows.loc[rows.index.repeat(5)]
        kind = cells["perturbation"].map(lambda text: sum(map(ord, text)) % 7)
        signal = np.eye(12)[kind] * 3 + rng.standard_normal((len(cells), 12))
        numbers = pd.DataFrame(signal, columns=[f"Cells_Feature_{n}" for n in range(12)])
        places = pd.DataFrame(
            {
                "Metadata_ImageNumber": range(len(cells)),
                "Image_Metadata_Plate": cells["plate"].to_numpy(),
                "Image_Metadata_Well": cells["well"].to_numpy(),
                "Cells_Number_Object_Number": 1,
            }
        )
        pd.concat([places, numbers], axis=1).to_parquet(folder / f"{plate}.parquet")
    params = {
        "ingestion": {
            "source": {"wells": str(path), "profiles": str(folder)},
            "experiment": "other",
        },
        "model": {"channel_aggregation": "mean_pool", "ccf_heads": 1},
    }
    workspace = Workspace(tmp_path)
    workspace.run("profiles", **params)
    profiles = workspace.load("well_profiles")
    assert len(profiles) == len(imaged)
    features = workspace.load("plate_features")["P1"]()
    assert features.tokens.shape == (95, 1, 12)
    workspace.run("score_profiles", score_profiles={"path": str(folder)})
    tracks = workspace.load("external_benchmark_metrics").set_index(["task", "stratum"])
    assert tracks.loc[("replicability", "all"), "mean_average_precision"] > 0.5


def test_without_negative_controls_runs_go_on_and_say_what_they_lose(tmp_path, caplog) -> None:
    table = wells_table(24)
    table["control"] = table["control"].replace("negcon", "")
    params = lab(tmp_path, "imagexpress", table)
    workspace = Workspace(tmp_path)
    workspace.run("plate_report", **params)
    assert "2 plate(s) have too few negative controls to be normalised by: P1, P2" in caplog.text
    page = newest(workspace, "plate_report.html").read_text(encoding="utf-8")
    assert "normalised by plate zscore" in page
    assert "2 plate(s) have too few negative controls" in page
    plain = workspace.load("image_profiles")
    assert set(plain["Metadata_normalised_by"]) == {"plate_zscore"}
    for _, rows in plain[plain[ROLE] != "empty"].groupby(PLATE):
        means = rows[embedding_columns(plain)].to_numpy().mean(axis=0)
        np.testing.assert_allclose(means, 0, atol=2e-3)  # tokens are kept in half precision

    workspace.run(*STAGES[1:4], **params)
    with pytest.raises(InputError, match="token_normalisation to plate_zscore"):
        workspace.run("training")
    workspace.run("training", "evaluation", model={"token_normalisation": "plate_zscore"})
    assert len(workspace.load("well_profiles")) == 2 * 23
    benchmark = workspace.load("benchmark_metrics")
    assert not (benchmark["task"] == "replicability").any()
    assert workspace.load("nearest_treatments")["z"].isna().all()


def test_few_treatments_are_warned_about_and_have_no_headline(tmp_path, caplog) -> None:
    params = lab(tmp_path, "imagexpress", wells_table(24))
    workspace = Workspace(tmp_path)
    workspace.run(*STAGES, **params)
    assert "texts: with so few the choice of an epoch is mostly chance" in caplog.text
    assert "test perturbation(s) are too few to say whether texts are retrieved" in caplog.text
    page = newest(workspace, "report.html").read_text(encoding="utf-8")
    assert "too few to say whether the model retrieves texts" in page
    assert "<b>" + "mean reciprocal rank" not in page
