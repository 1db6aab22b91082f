"""From a lab's folder and table to features, a model, reports and profiles that others read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lab_plates import lab, wells_table
from project import Workspace

from morphoclip.columns import PLATE, QUALITY, ROLE, WELL, embedding_columns

STAGES = ("ingestion", "image_features", "text_features", "splitting", "training", "evaluation")


def newest(workspace: Workspace, name: str) -> Path:
    found = sorted((workspace.data / "08_reporting" / name).glob(f"*/{name}"))
    assert found, f"{name} was not written"
    return found[-1]


@pytest.mark.parametrize(
    ("road", "n_wells", "ending"),
    [
        ("imagexpress", 24, "csv"),
        pytest.param("cellvoyager", 96, "xlsx", marks=pytest.mark.slow),
        pytest.param("LoadData", 96, "parquet", marks=pytest.mark.slow),
        pytest.param("OME-Zarr", 24, "csv", marks=pytest.mark.slow),
        pytest.param("RGB", 384, "csv", marks=pytest.mark.slow),
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
