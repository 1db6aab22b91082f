"""Frozen vision backbones."""

import pytest
import torch
from pydantic import ValidationError

from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.backbones.image import _IMAGENET_MEAN, _IMAGENET_SD, _untrained, load_image_backbone
from morphoclip.errors import InputError

SMALL = UntrainedViT(hidden_size=48, layers=2, heads=3)
CONFIG = ImageBackboneConfig(untrained=SMALL)


def grey(sites: int = 4, size: int = 32) -> torch.Tensor:
    return torch.rand(sites, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_one_channel_gives_what_three_normalised_copies_give() -> None:
    """The spec's own way: replicate to pseudo-RGB, normalise with ImageNet's statistics."""
    mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in (_IMAGENET_MEAN, _IMAGENET_SD))
    literal = _untrained(SMALL).eval()
    with torch.no_grad():
        expected = literal(pixel_values=(grey().expand(-1, 3, -1, -1) - mean) / sd)
    features = load_image_backbone(CONFIG)(grey())
    torch.testing.assert_close(features, expected.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features, expected.last_hidden_state[:, 0], atol=1e-5, rtol=1e-5)


def test_random_weights_are_the_same_everywhere_and_leave_the_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again = load_image_backbone(CONFIG), load_image_backbone(CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first(grey()), again(grey()))
    other = load_image_backbone(ImageBackboneConfig(untrained=SMALL.model_copy(update={"seed": 1})))
    assert first.identity["weights"] == again.identity["weights"] != other.identity["weights"]


def test_it_stays_frozen() -> None:
    backbone = load_image_backbone(CONFIG).train()
    assert not any(module.training for module in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_sizes_that_do_not_divide_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"size 100 is no multiple .* 16 pixels.* 96 and 112"):
        load_image_backbone(CONFIG).check_size(100)


def test_a_saved_folder_is_loaded_and_named_without_its_path(tmp_path) -> None:
    model = _untrained(SMALL)
    model.save_pretrained(tmp_path / "my-vit")
    (tmp_path / "my-vit" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )
    backbone = load_image_backbone(ImageBackboneConfig(model_id=str(tmp_path / "my-vit")))
    torch.testing.assert_close(backbone(grey()), load_image_backbone(CONFIG)(grey()))
    assert backbone.identity["model"] == "my-vit"
    assert str(tmp_path) not in str(backbone.identity)


def test_a_model_that_cannot_be_had_gives_the_steps() -> None:
    with pytest.raises(InputError) as caught:
        load_image_backbone(ImageBackboneConfig(model_id="nobody/no-such-model"))
    for words in ("huggingface.co/nobody/no-such-model", "HF_TOKEN", "without internet"):
        assert words in str(caught.value)


def test_a_backbone_is_named_or_untrained_never_both() -> None:
    with pytest.raises(ValidationError, match="either"):
        ImageBackboneConfig(model_id="x", untrained=SMALL)
    with pytest.raises(ValidationError, match="either"):
        ImageBackboneConfig()
