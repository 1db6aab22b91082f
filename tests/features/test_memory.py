"""A size that has no room is told before images are read."""

import pytest

from morphoclip.backbones.image import load_image_backbone
from morphoclip.errors import InputError
from morphoclip.features import extract
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import require_memory

GB = 10**9


def config(size: int, batch_size: int = 48) -> ImageFeaturesConfig:
    return ImageFeaturesConfig(
        channels={"A": 1, "B": 2, "C": 3, "D": 4, "E": 5},
        preprocess={"size": size, "workers": 2},
        backbone={"kind": "untrained", "untrained": {"hidden_size": 48, "layers": 1, "heads": 3}},
        batch_size=batch_size,
    )


def test_the_estimate_says_what_fits(monkeypatch) -> None:
    backbone = load_image_backbone(config(32).backbone, 5)
    monkeypatch.setattr(extract, "available_memory", lambda: 20 * GB)
    require_memory(backbone, config(384), "cpu")
    with pytest.raises(
        InputError, match=r"4096 x 4096 .* batches of 48 sites take about \d+\.\d GB"
    ):
        require_memory(backbone, config(4096), "cpu")
    with pytest.raises(InputError, match=r"set image_features\.batch_size to 6$"):
        require_memory(backbone, config(4096), "cpu")
    require_memory(backbone, config(4096, batch_size=6), "cpu")
    monkeypatch.setattr(extract, "available_memory", lambda: GB)
    with pytest.raises(InputError, match=r"choose a smaller image_features\.preprocess\.size"):
        require_memory(backbone, config(4096), "cpu")
