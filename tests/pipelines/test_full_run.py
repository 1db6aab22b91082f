"""The whole job on small synthetic plates: what it writes, what MLflow holds, what a rerun does."""

import html
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from project import Workspace

import morphoclip
from morphoclip.columns import (
    BROAD_SAMPLE,
    N_SITES,
    PLATE,
    ROLE,
    SITE,
    SUBSET,
    WELL,
    embedding_columns,
)
from morphoclip.datasets.whole_files import JsonFile
from morphoclip.errors import InputError
from morphoclip.imaging.thumbnails import MOST_BYTES, decode_strip
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.schemas.evaluation import RETRIEVAL_METRICS
from morphoclip.splits.manifest import manifest_sha256


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("full_run"))
    workspace.run("demo_gallery")
    workspace.run()
    return workspace


@pytest.fixture
def copied(finished, tmp_path) -> Workspace:
    """What the finished job wrote, to be changed by one test alone."""
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    return Workspace(tmp_path)


def files_below(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_site_becomes_one_small_file(finished) -> None:
    paths = sorted((finished.data / "04_feature/site_features").rglob("*.pt"))
    tokens = torch.load(paths[0], weights_only=True)
    assert tokens.shape == (5, 48)
    assert len(paths) == finished.load("well_index")[N_SITES].sum() == 3 * (15 + 4)
    assert paths[0].stat().st_size < 48 * 5 * 4 + 2500, "a saved slice carries its whole batch"


def test_every_site_has_a_small_picture(finished, copied) -> None:
    strips = finished.load("thumbnails")
    assert set(strips) == set(finished.load("site_features"))
    tiles = decode_strip(next(iter(strips.values()))())
    plane = tifffile.imread(next((finished.data / "01_raw").rglob("*.tiff")))
    assert tiles.shape == (5, *plane.shape), "of the images' own size, which is smaller than asked"
    sizes = [len(load()) for load in strips.values()]
    assert np.mean(sizes) < 5 * MOST_BYTES
    folder = copied.data / "02_intermediate/thumbnails"
    shutil.rmtree(folder)
    shutil.rmtree(copied.data / "04_feature/site_features")
    copied.run("image_features", image_features={"preprocess": {"thumbnails": 0}})
    assert not folder.exists()


def test_packed_plates_hold_the_sites(finished) -> None:
    packed = finished.load("plate_features")
    sites = finished.load("site_features")
    for plate, load in packed.items():
        features = load()
        row = features.sites.iloc[3]
        stem = f"r{features.positions[3, 0]:02d}c{features.positions[3, 1]:02d}f{row[SITE]:02d}"
        torch.testing.assert_close(features.tokens[3], sites[f"{plate}/{stem}"]().half())


def test_rendered_wells_are_those_of_the_truth(finished) -> None:
    truth = finished.load("demo_truth")
    wells = finished.load("well_index")
    treated = wells[~wells[ROLE].isin(["negcon", "empty"])]
    assert set(treated[BROAD_SAMPLE]) == set(truth[BROAD_SAMPLE])
    assert (wells.loc[wells[ROLE] == "empty", N_SITES] == 0).all()


def test_controls_are_never_split(finished) -> None:
    manifest = finished.load("split_manifest")
    controls = manifest[manifest[ROLE].isin(["negcon", "empty"])]
    assert (controls[SUBSET] == "excluded").all()
    assert set(manifest[SUBSET]) == {"train", "validation", "test", "excluded"}
    assert finished.load("split_record")["sha256"] == manifest_sha256(manifest)
    assert finished.load("model").manifest_sha256 == manifest_sha256(manifest)


def test_retrieval_has_its_columns_and_every_combination(finished) -> None:
    table = finished.load("retrieval_metrics")
    assert list(table.columns) == list(RETRIEVAL_METRICS.columns)
    assert len(table) == 2 * 5 * 2 * 2 * 8
    assert table["value"].notna().all()


def test_profiles_carry_metadata_and_unit_embeddings(finished) -> None:
    profiles = finished.load("well_profiles")
    embedding = profiles.filter(like="embedding_")
    assert embedding.shape == (3 * 19, 16)
    assert math.isclose((embedding.iloc[0] ** 2).sum(), 1, rel_tol=1e-5)
    assert {PLATE, WELL, ROLE, SUBSET} <= set(profiles.columns)


def test_the_report_is_one_page_that_says_what_the_plates_are(finished) -> None:
    page = finished.load("report")
    assert page.index("Synthetic plates of the test suite.") < page.index("mean reciprocal rank")
    assert "untrained DINOv3ViTModel" in page
    assert (
        page.count("data:image/png;base64,") == 3 + 3
    )  # figures (no headline of nine), and a map a plate
    assert "http://" not in page
    assert 'src="/' not in page
    assert str(finished.folder) not in page


def test_answers_stand_in_tables_and_in_the_report(finished) -> None:
    retrieved = finished.load("retrieved_texts")
    held_out = finished.load("split_manifest").query("Metadata_subset == 'test'")
    assert retrieved["Metadata_prompt"].nunique() == held_out["Metadata_entity"].nunique()
    page = finished.load("report")
    assert all(html.escape(words) in page for words in retrieved["Metadata_prompt"].unique()[:1])
    assert page.count("data:image/webp;base64,") >= 2 * 3 * 3, "cells and a control, of each"
    nearest_treatments = finished.load("nearest_treatments")
    assert set(nearest_treatments[BROAD_SAMPLE]) == set(finished.load("demo_truth")[BROAD_SAMPLE])
    targets = finished.load("target_genes")
    assert set(targets["other_modality"]) == {"crispr", "orf"}
    assert (targets["rank"] <= targets["n_genes"]).all()


def test_a_user_can_ask_in_words_or_by_name(finished, caplog) -> None:
    with pytest.raises(InputError, match=r"there is no question: .*find_similar\.treatment:HDAC1"):
        finished.run("find_similar")
    gene = (
        finished.load("demo_truth").query("Metadata_modality == 'crispr'")["Metadata_gene"].iloc[0]
    )
    finished.run(
        "find_similar", find_similar={"treatment": gene.lower(), "text": "inhibitor", "top_k": 2}
    )
    answers = finished.load("similar_treatments")
    asked = f"treatment: {gene.lower()}"
    assert set(finished.load("similar_wells")["query"]) == {"text: inhibitor", asked}
    texts = finished.load("similar_texts")
    assert texts.groupby(["query", "query_condition"])["rank"].max().eq(2).all()
    assert set(answers["query"]) == {"text: inhibitor", asked}
    seen_in = answers.loc[answers["query"] == asked, "query_condition"]
    assert {name.split("|")[0] for name in seen_in} == {"crispr", "orf"}
    itself = answers["query_condition"] == answers["Metadata_condition"]
    assert gene not in set(answers.loc[itself, "name"]), "what was asked for is no answer"
    assert answers.groupby(["query", "query_condition", "Metadata_condition"]).size().eq(2).all()
    assert f"most similar to {asked} (crispr" in caplog.text
    assert "the closest prompt of the training, at a cosine of 0." in caplog.text


@pytest.mark.slow
def test_a_single_site_can_be_asked_for(finished) -> None:
    wells = finished.load("well_profiles")
    plate, well = wells.loc[wells[ROLE] == "trt", [PLATE, WELL]].iloc[0]
    finished.run("find_similar", find_similar={"site": f"{plate} {well} 1", "top_k": 3})
    answers = finished.load("similar_wells")
    assert set(answers["query"]) == {f"site: {plate} {well} 1"}
    assert not ((answers[PLATE] == plate) & (answers[WELL] == well)).any()
    finished.run("find_similar", find_similar={"well": f"{plate} {well}", "top_k": 3})
    of_well = finished.load("similar_wells")
    columns = [PLATE, WELL, "rank"]
    pd.testing.assert_frame_equal(answers[columns], of_well[columns])
    assert answers["similarity"].to_numpy() == pytest.approx(of_well["similarity"], abs=1e-4)
    for wrong, sentence in (
        (f"{plate} {well}", "names no site"),
        (f"{plate} {well} 9", "has no site 9 with features; it has: 1"),
        (f"nowhere {well} 1", "plate nowhere has no features"),
    ):
        with pytest.raises(InputError, match=sentence):
            finished.run("find_similar", find_similar={"site": wrong})


@pytest.mark.slow
def test_a_packed_model_embeds_plates_as_the_catalog_has_them(finished, copied, tmp_path) -> None:
    """Moved elsewhere, in one command from images, without prompts or split."""
    copied.run("pack_model")
    bundle = Path(shutil.move(copied.data / "06_models/bundle", tmp_path / "handed on"))
    plates = sorted(finished.load("well_index")[PLATE].unique())
    for made in ("02_intermediate", "03_primary", "04_feature", "06_models"):
        shutil.rmtree(copied.data / made, ignore_errors=True)
    copied.run("embed_plates", embed_plates={"model": str(bundle)}, ingestion={"plates": plates[0]})
    embedded = copied.load("embedded_plates")
    assert set(embedded[PLATE]) == {plates[0]}
    assert set(embedded["Metadata_normalised_by"]) == {"negcon_zscore"}
    profiles = finished.load("well_profiles")
    of_plate = profiles[profiles[PLATE] == plates[0]].set_index(WELL)
    found = embedded.set_index(WELL).loc[of_plate.index]
    dimensions = embedding_columns(embedded)
    np.testing.assert_array_equal(found[dimensions].to_numpy(), of_plate[dimensions].to_numpy())
    assert set(found["Metadata_model"]) == set(of_plate["Metadata_model"])
    assert "<h2>Images</h2>" in copied.load("plate_report"), "with a report of its images"

    loaded = morphoclip.load(bundle)
    texts = finished.load("prompt_embeddings")
    words = text_by_digest(finished.load("prompts")).loc[texts["Metadata_prompt_digest"]]
    np.testing.assert_array_equal(
        loaded.embed_text(list(words)), texts[embedding_columns(texts)].to_numpy()
    )
    assert str(tmp_path) not in (bundle / "config.json").read_text()
    card = (bundle / "README.md").read_text()
    assert "| **this model** |" in card
    assert "Synthetic plates of the test suite." in card


@pytest.mark.slow
def test_images_of_a_notebook_become_the_same_profiles(finished, copied) -> None:
    copied.run("pack_model")
    loaded = morphoclip.load(copied.data / "06_models/bundle")
    sites = finished.load("site_index")
    plate = sorted(sites[PLATE].unique())[0]
    of_plate = sites[sites[PLATE] == plate].sort_values([WELL, SITE])
    images, wells = [], []
    root = finished.data / "01_raw"
    for (well, _), rows in of_plate.groupby([WELL, SITE]):
        by_channel = rows.set_index("Metadata_Channel")["Metadata_Path"]
        files = [
            next(file for file in root.rglob(Path(by_channel[c]).name) if plate in str(file))
            for c in loaded.images.channels
        ]
        images.append(np.stack([tifffile.imread(file) for file in files]))
        wells.append(well)
    index = finished.load("well_index").query(f"{PLATE} == @plate").set_index(WELL)
    controls = [index.loc[well, ROLE] == "negcon" for well in wells]
    found = loaded.embed_images(images, wells, plates=plate, controls=controls)
    profiles = finished.load("well_profiles")
    expected = profiles[profiles[PLATE] == plate].set_index(WELL).loc[found[WELL]]
    dimensions = embedding_columns(found)
    np.testing.assert_allclose(
        found[dimensions].to_numpy(), expected[dimensions].to_numpy(), atol=2e-3
    )


@pytest.mark.slow
def test_a_model_is_not_packed_with_what_is_not_its_own(copied) -> None:
    words = {"backbone": {"kind": "ngrams", "dim": 16}}
    with pytest.raises(InputError, match=r"parameters text_features are not those .*dim: 16"):
        copied.run("pack_model", text_features=words)
    with pytest.raises(InputError, match=r"parameters image_features are not those .*size: 64"):
        copied.run("pack_model", image_features={"preprocess": {"size": 64}})
    copied.run("splitting", splitting={"seed": 5})
    with pytest.raises(InputError, match=r"the split on disk .* is not the one"):
        copied.run("pack_model")


@pytest.mark.slow
def test_a_bundle_refuses_images_with_other_channels(copied) -> None:
    copied.run("pack_model")
    other = {"channels": "DNA=5+ER=4"}
    with pytest.raises(InputError, match=r"takes the channels MITO, AGP, RNA, ER, DNA, in this or"):
        copied.run("embed_plates", image_features=other)


def test_without_a_bundle_there_is_a_sentence(copied) -> None:
    with pytest.raises(InputError, match=r"is no bundle: make one with .* pack_model"):
        copied.run("embed_plates")
    with pytest.raises(InputError, match=r"there is no folder nowhere"):
        copied.run("embed_plates", embed_plates={"model": "nowhere"})


def test_profiles_of_another_model_are_refused(copied) -> None:
    copied.run("training", training={"seed": 5, "epochs": 1})
    with pytest.raises(InputError, match=r"has no profiles yet .* --pipeline evaluation"):
        copied.run("find_similar", find_similar={"treatment": "x"})


def test_a_text_is_not_embedded_by_another_model_than_the_record_describes(copied) -> None:
    copied.run("training", training={"seed": 5, "epochs": 1})
    record = max((copied.data / "06_models/model_record.json").glob("*/*.json"))
    of_profiles = copied.load("well_profiles")["Metadata_model"].iloc[0]
    written = copied.load("model_record")
    record.unlink()
    JsonFile(filepath=str(record)).save(written | {"digest": of_profiles})
    with pytest.raises(InputError, match="model and model_record are of different trainings"):
        copied.run("find_similar", find_similar={"text": "inhibitor"})


def test_another_backbone_is_refused_although_nothing_is_left_to_extract(finished) -> None:
    other = {"backbone": {"untrained": {"hidden_size": 48, "layers": 2, "heads": 3}}}
    with pytest.raises(InputError, match="were made differently"):
        finished.run("image_features", image_features=other)


def test_a_users_file_that_is_not_there_is_named(finished) -> None:
    with pytest.raises(InputError, match=r"lacks .*: the file nope\.csv that check_split\.path"):
        finished.run("check_split", check_split={"path": "nope.csv"})


def test_words_are_not_encoded_otherwise_than_in_training(finished) -> None:
    backbone = {"kind": "ngrams", "dim": 16}
    with pytest.raises(InputError, match="trained on other text features"):
        finished.run(
            "find_similar", find_similar={"text": "x"}, text_features={"backbone": backbone}
        )


def test_a_run_ends_with_the_way_to_its_report(finished, caplog) -> None:
    finished.run("evaluation")
    said = [record.message for record in caplog.records if "kedro where" in record.message]
    assert said == ["report written; `kedro where --env test` prints its path"]


def test_mlflow_holds_parameters_epochs_artifacts_and_metrics(finished) -> None:
    client = finished.mlflow()
    experiment = client.get_experiment_by_name("morphoclip")
    run = next(
        run
        for run in client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time ASC"]
        )
        if "training.epochs" in run.data.params
    )
    assert run.info.status == "FINISHED"
    assert run.data.params["model.ccf_layers"] == "1"
    assert run.data.params["image_features.preprocess.normalise"] == "plate_percentile"
    epochs = client.get_metric_history(run.info.run_id, "training.train_loss")
    assert [metric.step for metric in epochs] == [1, 2, 3]
    mrr = "test.within_modality.perturbation.image_to_text.mrr"
    table = finished.load("retrieval_metrics").set_index(
        ["subset", "scope", "level", "direction", "metric"]
    )
    assert run.data.metrics[mrr] == pytest.approx(
        table.loc[("test", "within_modality", "perturbation", "image_to_text", "mrr"), "value"]
    )
    assert f"{mrr}.chance" in run.data.metrics
    assert run.data.tags["split.sha256"] == finished.load("split_record")["sha256"]
    assert run.data.tags["image_features.model"] == "untrained DINOv3ViTModel"
    tops = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"checkpoints", "model", "report", "figures", "splits"} <= tops


def test_cell_count_stands_beside_the_model(finished) -> None:
    counted = finished.load("site_qc").dropna(subset=["nuclei"])
    assert set(counted["Metadata_Channel"]) == {"DNA"}
    assert len(counted) == 3 * (15 + 4)
    assert "cell_count" in set(finished.load("baseline_comparison")["method"])


@pytest.mark.slow
def test_the_untrained_twin_is_a_row_once_it_has_features(copied) -> None:
    twin = {"name": "untrained", "backbone": {"untrained": {"seed": 5}}}
    copied.run("image_features", image_features=twin)
    copied.run("evaluation")
    assert "untrained_backbone" in set(copied.load("baseline_comparison")["method"])
    copied.run("cross_validation", training={"epochs": 1})
    methods = set(copied.load("cross_validation_metrics")["method"])
    assert {"cell_count", "untrained_backbone"} <= methods


def test_a_rerun_extracts_and_packs_nothing_again(finished) -> None:
    features = finished.data / "04_feature"
    before = {n: t for n, t in files_below(features).items() if "text_features" not in n}
    finished.run("image_features")
    after = {n: t for n, t in files_below(features).items() if "text_features" not in n}
    assert after == before


def test_a_lost_site_is_computed_again_to_the_same_bits(finished) -> None:
    path = sorted((finished.data / "04_feature/site_features").rglob("*.pt"))[7]
    before = torch.load(path, weights_only=True)
    path.unlink()
    finished.run("image_features")
    assert torch.equal(torch.load(path, weights_only=True), before)


def test_other_settings_are_not_mixed_into_stored_features(finished) -> None:
    with pytest.raises(Exception, match=r"normalise: .*plate_percentile.*cannot be mixed"):
        finished.run("image_features", image_features={"preprocess": {"normalise": "uint16"}})


@pytest.mark.slow
def test_feature_sets_lie_side_by_side_and_are_chosen_by_name(copied) -> None:
    before = files_below(copied.data / "04_feature")
    other = {"name": "uint16", "preprocess": {"normalise": "uint16"}}
    copied.run("image_features", image_features=other)
    after = files_below(copied.data / "04_feature")
    assert before.items() <= after.items(), "nothing of the first set is overwritten"
    assert set(copied.load("feature_sets")) == {
        f"{name}/{plate}"
        for name in ("default", "uint16")
        for plate in copied.load("plate_features")
    }
    with pytest.raises(InputError, match=r"trained on other image features .*normalise: uint16"):
        copied.run("evaluation", image_features={"name": "uint16"})
    copied.run("training", image_features={"name": "uint16"}, training={"epochs": 1})
    assert copied.load("model").image_fingerprint["normalise"] == "uint16"
    with pytest.raises(InputError, match="normalise: plate_percentile, not uint16"):
        copied.run("evaluation")
    with pytest.raises(
        InputError, match=r"image_features\.batch_size, which this pipeline does not"
    ):
        copied.run("training", image_features={"name": "uint16", "batch_size": 2})
    with pytest.raises(InputError, match=r"lacks .*plate_features/nowhere"):
        copied.run("training", image_features={"name": "nowhere"})


def test_layers_on_the_command_line_reach_model_and_mlflow(finished, copied) -> None:
    copied.run("training", model={"ccf_layers": 4}, training={"epochs": 1})
    model = copied.load("model")
    layers = {name.split(".")[3] for name in model.members[0].state if "encoder.layers" in name}
    assert layers == {"0", "1", "2", "3"}
    assert model.config.ccf_layers == 4
    assert finished.load("model").config.ccf_layers == 1
    runs = copied.mlflow().search_runs(["1"], order_by=["attributes.start_time DESC"])
    assert runs[0].data.params["model.ccf_layers"] == "4"


@pytest.mark.slow
def test_a_damaged_image_is_set_aside_until_it_is_mended(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery")
    images = sorted((workspace.data / "01_raw").rglob("*-ch3*.tiff"))
    whole = images[0].read_bytes()
    images[0].write_bytes(whole[:300])
    sorted((workspace.data / "01_raw").rglob("*-ch1*.tiff"))[-1].unlink()
    workspace.run("ingestion", "image_features")
    for _ in range(2):
        set_aside = workspace.load("set_aside_sites")
        assert sorted(set_aside["Metadata_reason"]) == ["incomplete", "unreadable"]
        assert images[0].name in set_aside["Metadata_detail"].str.cat()
        assert "missing MITO" in set_aside["Metadata_detail"].to_list()
        packed = workspace.load("plate_features")
        assert sum(len(load().tokens) for load in packed.values()) == 3 * 19 - 2
        workspace.run("image_features")
    images[0].write_bytes(whole)
    workspace.run("image_features")
    assert workspace.load("set_aside_sites")["Metadata_reason"].tolist() == ["incomplete"]
    packed = workspace.load("plate_features")
    assert sum(len(load().tokens) for load in packed.values()) == 3 * 19 - 1
    assert workspace.load("site_qc")["mean"].notna().all()


def test_a_replaced_site_reaches_the_packed_plate(fresh) -> None:
    path = sorted((fresh.data / "04_feature/site_features").rglob("*.pt"))[3]
    plate, stem = path.parent.name, path.stem
    before = fresh.load("plate_features")[plate]().tokens.clone()
    image = next((fresh.data / "01_raw").glob(f"images/*/images/{plate}*/Images/{stem}*ch3*"))
    dimmer = np.maximum(tifffile.imread(image) // 3, 1)
    tifffile.imwrite(image, dimmer)
    path.unlink()
    fresh.run("image_features")
    after = fresh.load("plate_features")[plate]().tokens
    changed = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert sum(changed) == 1


def test_intermediate_tables_can_be_lost_and_features_kept(fresh) -> None:
    levels = fresh.load("plate_intensities")
    shutil.rmtree(fresh.data / "02_intermediate")
    fresh.run("ingestion", "image_features")
    pd.testing.assert_frame_equal(fresh.load("plate_intensities"), levels)
    assert fresh.load("site_qc")["mean"].isna().all()


@pytest.mark.slow
def test_sites_that_come_later_are_normalised_like_the_first(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery")
    later = {path: path.read_bytes() for path in (workspace.data / "01_raw").rglob("r0[1-5]*.tiff")}
    for path in later:
        path.unlink()
    workspace.run("ingestion", "image_features")
    n_first = len(workspace.load("site_features"))
    levels = workspace.load("plate_intensities")
    for path, content in later.items():
        path.write_bytes(content)
    workspace.run("ingestion", "image_features")
    pd.testing.assert_frame_equal(workspace.load("plate_intensities"), levels)
    assert n_first < len(workspace.load("site_features")) == 57


def test_channels_that_sites_were_not_indexed_by_are_refused(fresh) -> None:
    with pytest.raises(InputError, match="run kedro run --pipeline ingestion again"):
        fresh.run("image_features", image_features={"channels": "MITO=2+AGP=1+RNA=3+ER=4+DNA=5"})


def test_two_folders_of_one_plate_are_both_named(fresh) -> None:
    folder = next((fresh.data / "01_raw/images/synthetic/images").iterdir())
    shutil.copytree(folder, folder.with_name(folder.name.replace("ment1", "ment2")))
    with pytest.raises(InputError, match=r"has two folders, \S+ment1 and \S+ment2"):
        fresh.run("ingestion")


@pytest.mark.slow
@pytest.mark.parametrize("channels", ["MITO=1+AGP=2+ER=4+DNA=5", "DNA=5"])
def test_the_whole_job_runs_with_other_channels(tmp_path, channels) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery", demo_gallery={"channels": channels})
    workspace.run(image_features={"channels": channels}, training={"epochs": 1})
    tokens = next(iter(workspace.load("plate_features").values()))().tokens
    assert tokens.shape[1:] == (channels.count("="), 48)
    assert isinstance(workspace.load("retrieval_metrics"), pd.DataFrame)


def test_complete_features_verify(finished) -> None:
    finished.run("image_features")
    finished.run("verify_features")
    check = finished.load("feature_check")
    assert check[["expected", "present"]].to_numpy().tolist() == [[19, 19]] * 3
    assert check[["missing", "damaged", "stale"]].to_numpy().sum() == 0


@pytest.fixture
def fresh(tmp_path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features")
    return workspace


def test_what_is_missing_damaged_or_stale_is_counted_and_nothing_is_recomputed(fresh) -> None:
    paths = sorted((fresh.data / "04_feature/site_features").rglob("*.pt"))
    paths[0].unlink()
    paths[1].write_bytes(b"half")
    with pytest.raises(InputError, match=r"features of 1 of 3 plate\(s\) .*Delete the 1 damaged"):
        fresh.run("verify_features")
    assert not paths[0].exists()
    check = fresh.load("feature_check").iloc[0]
    assert check[["expected", "present", "missing", "damaged"]].tolist() == [19, 17, 1, 1]
    paths[1].unlink()
    fresh.run("image_features")
    with pytest.raises(InputError, match="resize: area, not bilinear"):
        fresh.run("verify_features", image_features={"preprocess": {"resize": "bilinear"}})


def test_per_site_files_of_another_project_are_packed(fresh, tmp_path) -> None:
    reference = tmp_path / "features" / "BR00116991"
    reference.mkdir(parents=True)
    batch = torch.randn(48, 5, 32)
    torch.save(batch[7], reference / "r01c02f03.pt")
    fresh.run("import_features", import_features={"path": str(tmp_path / "features")})
    packed = fresh.load("plate_features")["BR00116991"]()
    torch.testing.assert_close(packed.tokens[0], batch[7].half())
    assert (reference / "r01c02f03.pt").stat().st_size > 20 * packed.tokens.nbytes
    assert packed.fingerprint["model"] == "imported per-site features"


def test_illumination_functions_change_features_and_must_be_there(fresh) -> None:
    npy = {"image_features": {"preprocess": {"illumination": "npy"}}}
    shutil.rmtree(fresh.data / "04_feature")
    with pytest.raises(InputError, match=r"5 illumination function\(s\) are not there: .*_Illum"):
        fresh.run("image_features", **npy)
    tilt = np.linspace(0.5, 1.5, 32)[None, :] * np.ones((32, 1))
    for plate in fresh.load("well_index")[PLATE].unique():
        folder = fresh.data / "01_raw/images/synthetic/illum" / plate
        folder.mkdir(parents=True)
        for channel in ("Mito", "AGP", "RNA", "ER", "DNA"):
            np.save(folder / f"{plate}_Illum{channel}.npy", tilt)
    fresh.run("image_features", **npy)
    fingerprint = next(iter(fresh.load("plate_features").values()))().fingerprint
    assert fingerprint["illumination"] == "npy"


def test_the_text_level_changes_features_and_switching_back_encodes_nothing(copied) -> None:
    full = copied.load("text_features")
    copied.run("text_features", text_features={"level": "name_only"})
    name_only = copied.load("text_features")
    assert set(name_only.digests) != set(full.digests)
    known = copied.data / "04_feature/text_feature_cache"
    before = files_below(known)
    copied.run("text_features")
    assert files_below(known) == before != {}
    back = copied.load("text_features")
    assert back.digests == full.digests
    torch.testing.assert_close(back.features, full.features)


def test_gene_annotations_are_built_from_a_users_file_and_reach_the_prompts(
    copied, tmp_path
) -> None:
    guides = copied.load("perturbations").query("Metadata_modality == 'crispr'")
    gene = guides["Metadata_gene"].dropna().iloc[0]
    (tmp_path / "uniprot.tsv").write_text(
        "Entry\tGene Names\tProtein names\tFunction [CC]\n"
        f"X1\t{gene}\tSome protein (EC 1.1.1.1)\tFUNCTION: Does something (PubMed:1).\n"
    )
    copied.run(
        "gene_annotations",
        gene_annotations={"uniprot": str(tmp_path / "uniprot.tsv"), "date": "2026-11-22"},
    )
    built = tmp_path / "data/test/01_raw/gene_annotations.tsv"
    copied.run("ingestion", ingestion={"source": {"gene_annotations": str(built)}})
    copied.run("text_features")
    said = set(copied.load("prompts")["Metadata_prompt"])
    words = f"CRISPR knockout of {gene}. Protein: Some protein. Function: Does something."
    assert words in said


def test_a_users_own_split_is_checked(finished, tmp_path) -> None:
    manifest = finished.load("split_manifest")
    kept = manifest[manifest[SUBSET] != "excluded"]
    clean = kept[[PLATE, WELL, SUBSET]].rename(columns={SUBSET: "part"})
    for name, write in (("a.csv", clean.to_csv), ("a.parquet", clean.to_parquet)):
        write(tmp_path / name, index=False)
        finished.run("check_split", check_split={"path": str(tmp_path / name), "column": "part"})
    check = finished.load("external_split_leakage")
    assert not check["verdict"].eq("LEAK").any()
    by_gene = {"path": str(tmp_path / "a.csv"), "column": "part", "group_by": "gene"}
    with pytest.raises(InputError, match=r"the split leaks .*gene"):
        finished.run("check_split", check_split=by_gene)
    assert finished.load("external_split_leakage")["verdict"].eq("LEAK").any()


@pytest.mark.slow
def test_cross_validation_tests_everything_once_a_repeat_beside_baselines(copied) -> None:
    training = {"seeds": "1+2", "epochs": 2, "stopping": "inner_folds", "inner_folds": 2}
    splitting = {"folds": 3, "seeds": "7+8"}
    copied.run("cross_validation", splitting=splitting, training=training)
    queries = copied.load("cross_validation_per_perturbation_retrieval")
    eligible = copied.load("split_manifest").query("Metadata_subset != 'excluded'")
    model = queries[queries["method"] == "model"]
    repeats = model.groupby(["split_seed", "seed"])
    assert repeats["Metadata_prompt_digest"].nunique().to_dict() == {
        (split_seed, seed): 45 for split_seed in (7, 8) for seed in (1, 2)
    }
    sizes = model.groupby(["split_seed", "seed", "fold", "direction"]).size()
    assert sizes.tolist() == [15] * 24
    together = model.groupby(["split_seed", "fold"])["Metadata_prompt_digest"].unique().map(set)
    assert not {frozenset(fold) for fold in together[7]} & {frozenset(f) for f in together[8]}
    assert len(eligible) == 45
    summary = copied.load("cross_validation_metrics").query("direction == 'both'")
    row = summary.set_index(["scope", "metric", "method"]).loc[("within_modality", "mrr", "model")]
    assert row["n_perturbations"] == 45
    assert row["n_repeats"] == 4
    assert row["sd_over_repeats"] == pytest.approx(repeats["mrr"].mean().std())
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["difference"] == 0
    assert row["value"] == pytest.approx(model["mrr"].mean())
    runs = copied.mlflow().search_runs(["1"])
    named = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    folds = [f"assignment {seed}, fold {fold}" for seed in (7, 8) for fold in range(3)]
    trainings = {f"{fold}, seed {seed}" for fold in folds for seed in (1, 2)}
    assert trainings < named.keys()
    assert {name for name in named if name.endswith("inner folds")} == {
        f"{fold}, inner folds" for fold in folds
    }, "the number of epochs is chosen once per fold"
    assert all(named[name].info.status == "FINISHED" for name in trainings)
    assert all("test.mrr" in named[name].data.metrics for name in trainings)
    assert all("training.train_loss" in named[name].data.metrics for name in trainings)

    kept = copied.data / "06_models/checkpoints/cross_validation"
    assert not list(kept.rglob("*.pt")), "of a training that is done its rows are kept alone"
    assert len(list(kept.glob("inner_folds/*/result.parquet"))) == 12
    rows = sorted(kept.glob("*/result.parquet"))
    assert len(rows) == 12
    shutil.rmtree(rows[0].parent)
    copied.run("cross_validation", splitting=splitting, training=training | {"resume": True})
    pd.testing.assert_frame_equal(
        copied.load("cross_validation_per_perturbation_retrieval"), queries
    )
    assert len(list(kept.glob("*/result.parquet"))) == 12


def test_several_seeds_are_cross_validations_job(finished) -> None:
    with pytest.raises(InputError, match="kedro run --pipeline cross_validation"):
        finished.run("training", training={"seeds": "1+2"})
    with pytest.raises(InputError, match="kedro run --pipeline cross_validation"):
        finished.run("splitting", splitting={"seeds": "1+2"})
