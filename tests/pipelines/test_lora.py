"""LoRA from the command line: images to an adapter, to features made with it, to a report."""

import json
import shutil

import pytest
import torch
from project import Workspace
from safetensors import safe_open

from morphoclip.errors import InputError

QUICK = {"epochs": 1, "batch_size": 64, "micro_batch": 8, "learning_rate": 1e-2, "warmup_steps": 1}


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("lora"))
    workspace.run("demo_gallery")
    workspace.run(
        "ingestion", "image_features", "text_features", "splitting", "training",
        training={"epochs": 2},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"57 of 57 sites have no stored images"):
        workspace.run("lora", lora=QUICK)
    features = (workspace.data / "04_feature/site_features").rglob("*.pt")
    before = {path: torch.load(path, weights_only=True) for path in sorted(features)}
    workspace.run("image_features", image_features={"save_tensors": True})
    assert len(workspace.load("site_tensors")) == 57
    for path in (workspace.data / "04_feature/site_features").rglob("*.pt"):
        assert torch.equal(torch.load(path, weights_only=True), before[path])
    workspace.run("lora", lora=QUICK)
    return workspace


WITH_ADAPTER = {"name": "lora", "backbone": {"adapter": "lora"}}


def test_an_adapter_is_one_small_file_without_paths(adapted) -> None:
    path = adapted.data / "06_models/adapters/lora.safetensors"
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert set(header) == {"settings", "backbone.model", "backbone.weights"}
    assert str(adapted.folder) not in json.dumps(header)
    assert path.stat().st_size < 40_000


@pytest.mark.slow
def test_features_with_the_adapter_are_told_apart_and_evaluated(adapted, tmp_path) -> None:
    shutil.copytree(adapted.folder / "data", tmp_path / "data")
    workspace = Workspace(tmp_path)
    with pytest.raises(InputError, match=r"trained on other image features .*adapter: absent, not"):
        workspace.run("evaluation")
    with pytest.raises(InputError, match=r"adapter: .*, not absent.*image_features\.name"):
        workspace.run("image_features", image_features={"backbone": {"adapter": "lora"}})
    workspace.run("image_features", image_features=WITH_ADAPTER)
    workspace.run("verify_features", image_features=WITH_ADAPTER)
    with pytest.raises(InputError, match=r"made with other parameters.*adapter"):
        workspace.run("verify_features", image_features={"name": "lora"})
    workspace.run("evaluation", image_features={"name": "lora"})
    plate, load = sorted(workspace.load("feature_sets").items())[-1]
    assert plate.startswith("lora/")
    assert load().fingerprint["adapter"] == workspace.load("model").image_fingerprint["adapter"]
    workspace.run("training", image_features={"name": "lora"}, training={"epochs": 1})
    with pytest.raises(InputError, match=r"other image features .*adapter"):
        workspace.run("evaluation")


@pytest.mark.slow
def test_another_adapter_of_the_same_name_is_not_mixed_in(adapted, tmp_path) -> None:
    shutil.copytree(adapted.folder / "data", tmp_path / "data")
    workspace = Workspace(tmp_path)
    workspace.run("image_features", image_features=WITH_ADAPTER)
    with pytest.raises(InputError, match="there is an adapter lora already"):
        workspace.run("lora", lora=QUICK | {"alpha": 8})
    (workspace.data / "06_models/adapters/lora.safetensors").unlink()
    workspace.run("lora", lora=QUICK | {"alpha": 8})
    with pytest.raises(InputError, match=r"made differently \(adapter: "):
        workspace.run("image_features", image_features=WITH_ADAPTER)


@pytest.mark.slow
def test_a_merged_backbone_gives_the_features_of_the_adapter(adapted, tmp_path) -> None:
    shutil.copytree(adapted.folder / "data", tmp_path / "data")
    workspace = Workspace(tmp_path)
    workspace.run("image_features", image_features=WITH_ADAPTER)
    workspace.run("merge_adapter", image_features={"backbone": {"adapter": "lora"}})
    folder = workspace.data / "06_models/merged/lora"
    merged = {"kind": "transformers", "model_id": str(folder), "untrained": None}
    workspace.run("image_features", image_features={"name": "merged", "backbone": merged})
    sets = workspace.load("feature_sets")
    for key in [key for key in sets if key.startswith("lora/")]:
        mine, theirs = sets[key]().tokens, sets[key.replace("lora/", "merged/")]().tokens
        torch.testing.assert_close(mine, theirs, atol=5e-3, rtol=5e-3)


def test_mistakes_are_answered_before_anything_is_trained(adapted) -> None:
    cases = [
        ({"lora": QUICK | {"modules": "q_proj+query"}}, "names query, which the backbone"),
        ({"model": {"ccf_layers": 2}, "lora": QUICK}, "ccf_layers 2, not 1"),
        ({"image_features": {"preprocess": {"size": 48}}, "lora": QUICK}, "made with other param"),
        ({"image_features": {"backbone": {"adapter": "lora"}}, "lora": QUICK}, "without one"),
        (
            {"image_features": {"backbone": {"untrained": {"seed": 3}}}, "lora": QUICK},
            "not the one",
        ),
    ]
    for params, message in cases:
        params["lora"] = params["lora"] | {"name": "another"}
        with pytest.raises(InputError, match=message):
            adapted.run("lora", **params)


def test_an_adapter_that_does_not_exist_is_named(adapted) -> None:
    with pytest.raises(InputError, match=r"no adapter nope; there are: lora\."):
        adapted.run("image_features", image_features={"name": "x", "backbone": {"adapter": "nope"}})


def test_a_damaged_adapter_ends_in_a_sentence(adapted, tmp_path) -> None:
    shutil.copytree(adapted.folder / "data", tmp_path / "data")
    workspace = Workspace(tmp_path)
    path = workspace.data / "06_models/adapters/lora.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Exception, match=r"lora\.safetensors cannot be used"):
        workspace.run("image_features", image_features=WITH_ADAPTER)
