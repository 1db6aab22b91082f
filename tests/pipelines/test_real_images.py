"""Real images: a complete site of another microscope's order, and an incomplete one of CPJUMP1."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from project import Workspace

from morphoclip.columns import (
    CHANNEL,
    DETAIL,
    PLATE,
    REASON,
    WELL,
)

BATCH = "2020_11_04_CPJUMP1"
BY_CONFIG = "MITO=1+AGP=2+RNA=3+ER=5+DNA=4"


@pytest.fixture
def prepared(tmp_path, gallery, real_data) -> tuple[Workspace, dict[str, Any]]:
    """The gallery's metadata and its incomplete plate, with the complete site as another plate."""
    root = tmp_path / "gallery"
    shutil.copytree(gallery / "workspace/metadata", root / "workspace/metadata")
    images = Path("images") / BATCH / "images"
    shutil.copytree(gallery / images, root / images)
    shutil.copytree(real_data / "real_site", root / images / "BR00117010__x-Measurement1")
    source = {
        "root": str(root),
        "batch": BATCH,
        "experiment_metadata": str(real_data / "cpjump1/experiment-metadata.tsv"),
        "annotations": str(
            real_data / "cpjump1/JUMP-Target-1_compound_metadata_additional_annotations.tsv"
        ),
    }
    return Workspace(tmp_path), {"ingestion": {"source": source}}


def test_the_incomplete_site_is_set_aside_and_the_complete_one_goes_through(prepared) -> None:
    workspace, params = prepared
    workspace.run(
        "ingestion", "image_features", image_features={"preprocess": {"size": 96}}, **params
    )
    set_aside = workspace.load("set_aside_sites")
    assert set_aside[[PLATE, WELL, REASON, DETAIL]].to_numpy().tolist() == [
        ["BR00117006", "A01", "incomplete", "missing MITO, ER"]
    ]
    (load,) = workspace.load("plate_features").values()
    assert load().tokens.shape == (1, 5, 48)
    assert torch.isfinite(load().tokens).all()


def test_another_microscopes_order_is_a_change_of_configuration(prepared) -> None:
    workspace, params = prepared
    image_features = {"channels": BY_CONFIG, "preprocess": {"size": 96}}
    plate = {"ingestion": params["ingestion"] | {"plates": "BR00117010"}}
    workspace.run("ingestion", "image_features", image_features=image_features, **plate)
    site_index = workspace.load("site_index").set_index(CHANNEL)["Metadata_Path"]
    assert site_index.index.tolist() == ["MITO", "AGP", "RNA", "ER", "DNA"]
    assert "-ch4" in site_index["DNA"]
    assert not site_index.str.contains("-ch6").any(), "brightfield"
    qc = workspace.load("site_qc").set_index(CHANNEL)
    assert (qc["saturated_fraction"] < 0.01).all()
    assert not qc["near_empty"].any()
    (load,) = workspace.load("plate_features").values()
    assert load().fingerprint["channels"] == BY_CONFIG
