"""Frozen vision backbones."""

import copy
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from pydantic import ValidationError
from safetensors.torch import save_file

from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.backbones.image import load_image_backbone as load_any
from morphoclip.backbones.image import load_model
from morphoclip.backbones.image.base import IMAGENET_MEAN, IMAGENET_SD, ImageBackbone
from morphoclip.errors import InputError

SMALL = UntrainedViT(hidden_size=48, layers=2, heads=3)
CONFIG = ImageBackboneConfig(kind="untrained", untrained=SMALL)


def load_image_backbone(config: ImageBackboneConfig) -> ImageBackbone:
    return load_any(config, 1)


def grey(sites: int = 4, size: int = 32) -> torch.Tensor:
    return torch.rand(sites, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_one_channel_gives_what_three_normalised_copies_give() -> None:
    """The spec's own way: replicate to pseudo-RGB, normalise with ImageNet's statistics."""
    mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_SD))
    literal = load_model(CONFIG, 1).model.eval()
    with torch.no_grad():
        expected = literal(pixel_values=(grey().expand(-1, 3, -1, -1) - mean) / sd)
    features = load_image_backbone(CONFIG)(grey())[:, 0]
    torch.testing.assert_close(features, expected.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features, expected.last_hidden_state[:, 0], atol=1e-5, rtol=1e-5)


def test_random_weights_are_the_same_everywhere_and_leave_the_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again = load_image_backbone(CONFIG), load_image_backbone(CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first(grey()), again(grey()))
    other = load_image_backbone(
        CONFIG.model_copy(update={"untrained": SMALL.model_copy(update={"seed": 1})})
    )
    assert first.identity["weights"] == again.identity["weights"] != other.identity["weights"]


def test_it_stays_frozen() -> None:
    backbone = load_image_backbone(CONFIG).train()
    assert not any(module.training for module in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_sizes_that_do_not_divide_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"size 100 is no multiple .* 16 pixels.* 96 and 112"):
        load_image_backbone(CONFIG).check_size(100)


def test_a_saved_folder_is_loaded_and_named_without_its_path(tmp_path) -> None:
    saved(load_model(CONFIG, 1).model, tmp_path / "my-vit")
    backbone = load_image_backbone(ImageBackboneConfig(model_id=str(tmp_path / "my-vit")))
    torch.testing.assert_close(backbone(grey()), load_image_backbone(CONFIG)(grey()))
    assert backbone.identity["model"] == "my-vit"
    assert str(tmp_path) not in str(backbone.identity)


def test_a_model_that_cannot_be_had_gives_the_steps() -> None:
    with pytest.raises(InputError) as caught:
        load_image_backbone(ImageBackboneConfig(model_id="nobody/no-such-model"))
    for words in ("huggingface.co/nobody/no-such-model", "HF_TOKEN", "without internet"):
        assert words in str(caught.value)


def test_kind_and_model_have_to_go_together() -> None:
    with pytest.raises(ValidationError, match="take kind untrained"):
        ImageBackboneConfig(model_id="x", untrained=SMALL)
    with pytest.raises(ValidationError, match="kind transformers needs a model_id"):
        ImageBackboneConfig()
    with pytest.raises(ValidationError, match="mean and sd, or neither"):
        ImageBackboneConfig(model_id="x", mean=(0.5,))
    with pytest.raises(ValidationError, match="heads 5 does not divide hidden_size 48"):
        UntrainedViT(hidden_size=48, heads=5)


SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "image_size": 32,
    "patch_size": 16,
}
FAMILIES = [
    "Dinov2", "Dinov2WithRegisters", "DINOv3ViT", "ViT", "DeiT", "Beit", "ViTMAE", "ViTMSN",
    "Data2VecVision", "CLIPVision",
]  # fmt: skip


def model_of(family: str, **more: Any) -> Any:
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**SIZES | more)
    return getattr(transformers, f"{family}Model")(config).eval()


def saved(model: Any, folder: Path, *, processor: bool = True) -> str:
    model.save_pretrained(folder)
    if processor:
        statistics = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_SD}
        (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return str(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [32, 64])
def test_every_family_gives_the_first_token_of_its_own_three_channel_form(
    tmp_path, family: str, size: int
) -> None:
    """Size 64 is not the one the model was made for: its positions are interpolated."""
    literal = model_of(family)
    folder = saved(literal, tmp_path / family)
    if family == "ViTMAE":
        literal.config.mask_ratio = 0.0
    mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_SD))
    images = (grey(size=size).expand(-1, 3, -1, -1) - mean) / sd
    options = {"interpolate_pos_encoding": True} if has_positions(literal) else {}
    with torch.no_grad():
        expected = literal(pixel_values=images, **options).last_hidden_state[:, 0]
    backbone = load_image_backbone(ImageBackboneConfig(model_id=folder))
    torch.testing.assert_close(backbone(grey(size=size))[:, 0], expected, atol=1e-5, rtol=1e-5)


def has_positions(model: Any) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(model.forward).parameters


def test_channels_of_a_site_keep_their_order() -> None:
    backbone = load_any(CONFIG, 3)
    sites = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    tokens = backbone(sites)
    assert tokens.shape == (2, 3, 48)
    torch.testing.assert_close(tokens[1, 2], backbone(sites[1:2, 2:3])[0, 0])


def test_a_multi_channel_model_gives_one_token_per_site(tmp_path) -> None:
    literal = model_of("ViT", num_channels=5)
    folder = saved(literal, tmp_path / "five", processor=False)
    sites = torch.rand(2, 5, 32, 32, generator=torch.Generator().manual_seed(2))
    config = ImageBackboneConfig(
        model_id=folder, input="multi_channel", mean=(0.1,) * 5, sd=(0.5,) * 5
    )
    with torch.no_grad():
        expected = literal(pixel_values=(sites - 0.1) / 0.5).last_hidden_state[:, 0]
        tokens = load_any(config, 5)(sites)
    assert tokens.shape == (2, 1, 48)
    torch.testing.assert_close(tokens[:, 0], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match=r"takes 5 channels at once and .* names 4"):
        load_any(config, 4)


def test_a_checkpoint_that_lacks_layers_is_refused(tmp_path) -> None:
    folder = saved(model_of("Dinov2"), tmp_path / "short")
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    (tmp_path / "short" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"short lacks \d+ of the model's .* would be random"):
        load_image_backbone(ImageBackboneConfig(model_id=folder))


def test_a_checkpoint_with_more_layers_than_its_config_is_refused(tmp_path) -> None:
    folder = saved(model_of("ViT"), tmp_path / "long")
    config = json.loads((tmp_path / "long" / "config.json").read_text())
    (tmp_path / "long" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(InputError, match=r"weights of layers that config\.json does not name"):
        load_image_backbone(ImageBackboneConfig(model_id=folder))


def test_a_missing_pooler_does_not_matter(tmp_path) -> None:
    literal = model_of("ViT")
    folder = saved(literal, tmp_path / "vit")
    state = {k: v for k, v in literal.state_dict().items() if not k.startswith("pooler")}
    save_file(state, tmp_path / "vit" / "model.safetensors", metadata={"format": "pt"})
    assert load_image_backbone(ImageBackboneConfig(model_id=folder))(grey()).shape == (4, 1, 48)


def test_colours_are_asked_for_where_the_folder_does_not_say_them(tmp_path) -> None:
    folder = saved(model_of("Dinov2"), tmp_path / "dino", processor=False)
    with pytest.raises(InputError, match=r"dino has no preprocessor_config\.json .*backbone\.mean"):
        load_image_backbone(ImageBackboneConfig(model_id=folder))
    given = ImageBackboneConfig(model_id=folder, mean=IMAGENET_MEAN, sd=IMAGENET_SD)
    with_file = saved(model_of("Dinov2"), tmp_path / "with")
    assert torch.equal(
        load_image_backbone(given)(grey()),
        load_image_backbone(ImageBackboneConfig(model_id=with_file))(grey()),
    )


def test_a_model_without_cls_is_refused(tmp_path) -> None:
    torch.manual_seed(0)
    config = transformers.SwinConfig(embed_dim=24, depths=[1], num_heads=[3], image_size=32)
    folder = saved(transformers.SwinModel(config), tmp_path / "swin")
    with pytest.raises(InputError, match=r"swin \(SwinModel\) has no CLS token"):
        load_image_backbone(ImageBackboneConfig(model_id=folder))


def test_a_broken_folder_is_named_without_advice_about_the_hub(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder empty cannot be loaded") as caught:
        load_image_backbone(ImageBackboneConfig(model_id=str(tmp_path / "empty")))
    assert "huggingface.co" not in str(caught.value)


def test_the_untrained_twin_has_the_shape_of_the_model_and_other_weights(tmp_path) -> None:
    folder = saved(model_of("Dinov2"), tmp_path / "dino")
    twin = ImageBackboneConfig(kind="untrained", untrained={"like": folder})
    trained = load_image_backbone(ImageBackboneConfig(model_id=folder))
    untrained = load_image_backbone(twin)
    assert untrained.identity["model"] == "untrained dino"
    assert untrained.identity["weights"] != trained.identity["weights"]
    shapes = [
        {name: tensor.shape for name, tensor in backbone.state_dict().items()}
        for backbone in (trained, untrained)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("vit_tiny_patch16_224", "per_channel"), ("vit_tiny_patch16_224", "multi_channel")],
)
def test_timm_models_give_their_cls_token(monkeypatch, name: str, inputs: str) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed", exc_type=ImportError)
    create = timm.create_model
    torch.manual_seed(0)
    literal = create(name, num_classes=0, in_chans=3 if inputs == "per_channel" else 5)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: copy.deepcopy(literal).eval())
    sites = torch.rand(2, 5, 224, 224, generator=torch.Generator().manual_seed(2))
    given = {"mean": (0.5,) * 3, "sd": (0.25,) * 3}
    config = ImageBackboneConfig(kind="timm", model_id=name, input=inputs, **given)
    with torch.no_grad():
        tokens = load_any(config, 5)(sites)
        images = (sites - 0.5) / 0.25
        if inputs == "per_channel":
            images = images.reshape(10, 1, 224, 224).expand(-1, 3, -1, -1)
        expected = literal.eval().forward_features(images)[:, 0]
    torch.testing.assert_close(tokens.reshape(expected.shape), expected, atol=1e-5, rtol=1e-5)


def test_without_timm_the_sentence_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="needs the package timm, which is not installed"):
        load_any(ImageBackboneConfig(kind="timm", model_id="vit_tiny_patch16_224"), 1)
