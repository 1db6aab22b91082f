"""A frozen vision backbone: one channel image in, one CLS feature out.

transformers is imported where a model is loaded: it takes seconds, which commands that load none
should not wait for.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn

from morphoclip.backbone_identity import identity_of, model_name, weights_digest
from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.errors import InputError

_IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
_IMAGENET_SD: tuple[float, ...] = (0.229, 0.224, 0.225)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ImageBackbone(nn.Module):
    """Frozen; takes ``(N, 1, size, size)`` in [0, 1], gives CLS features ``(N, D)`` float32."""

    def __init__(self, model: Any, identity: dict[str, str], dtype: torch.dtype) -> None:
        super().__init__()
        self.model: Any = model.to(dtype).eval().requires_grad_(requires_grad=False)
        self.identity = identity
        self.dtype = dtype

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002 - nn.Module's signature
        """Stay frozen: a backbone has no training mode."""
        return self

    @property
    def feature_dim(self) -> int:
        """D."""
        return int(self.model.config.hidden_size)

    def check_size(self, size: int) -> None:
        """Raise where images of this size do not fill whole patches.

        Raises:
            InputError: The size is no multiple of the patch.
        """
        patch = int(self.model.config.patch_size)
        if size % patch:
            raise InputError(
                f"image_features.preprocess.size {size} is no multiple of the backbone's patch of "
                f"{patch} pixels; the nearest are {size // patch * patch or patch} and "
                f"{(size // patch + 1) * patch}"
            )

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """``(N, 1, H, W)`` -> ``(N, D)``: the CLS token after the final norm."""
        return self.model(pixel_values=images.to(self.dtype)).pooler_output.float()


def load_image_backbone(config: ImageBackboneConfig) -> ImageBackbone:
    """Load and freeze; the three-channel first layer is folded to take one channel.

    Raises:
        InputError: The model is gated, missing or unreachable.
    """
    dtype = _DTYPES[config.dtype]
    if config.untrained is not None:
        model = _untrained(config.untrained)
        mean, sd = _IMAGENET_MEAN, _IMAGENET_SD
        identity = {"model": model_name(config.model_id), "weights": weights_digest(model)}
    else:
        assert config.model_id is not None
        model, mean, sd = _pretrained(config.model_id, config.revision)
        identity = identity_of(config.model_id, model)
    _fold_to_one_channel(model, mean, sd)
    return ImageBackbone(model, identity, dtype)


def explain_unavailable(model_id: str, what: str, error: Exception) -> InputError:
    """The steps that lead to a gated or missing model."""
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(
        f"the {what} {model_id} cannot be loaded ({cause}). To get it: ask for access at "
        f"https://huggingface.co/{model_id}, make a token with read access at "
        "https://huggingface.co/settings/tokens, and put it into .env as HF_TOKEN=hf_...; on a "
        f"machine without internet, give the folder of a downloaded copy as {what}'s model_id"
    )


def _untrained(config: UntrainedViT) -> nn.Module:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return DINOv3ViTModel(
            DINOv3ViTConfig(
                hidden_size=config.hidden_size,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=4 * config.hidden_size,
                num_register_tokens=config.register_tokens,
                patch_size=config.patch_size,
                initializer_range=0.02,
                attn_implementation="sdpa",
            )
        )


def _pretrained(
    model_id: str, revision: str | None
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    from transformers import AutoModel
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        model = AutoModel.from_pretrained(
            model_id, revision=revision, attn_implementation="sdpa", dtype=torch.float32
        )
        processor, _ = ImageProcessingMixin.get_image_processor_dict(model_id, revision=revision)
    except (OSError, ValueError) as error:
        raise explain_unavailable(model_id, "image backbone", error) from error
    return model, tuple(processor["image_mean"]), tuple(processor["image_std"])


def _fold_to_one_channel(model: nn.Module, mean: tuple[float, ...], sd: tuple[float, ...]) -> None:
    """Fold the x3 replicate and the ImageNet normalisation into the first convolution, exactly.

    With w1 = sum_c w_c / sd_c and b1 = b - sum_c w_c mean_c / sd_c, one grey channel gives what
    three normalised copies of it would give.
    """
    first = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3]
    if len(first) != 1 or first[0].padding not in ((0, 0), "valid"):
        raise InputError(
            "the image backbone does not begin with one unpadded three-channel convolution, which "
            "single-channel images need; choose a ViT such as DINOv3"
        )
    conv = first[0]
    with torch.no_grad():
        scale = 1 / torch.tensor(sd, dtype=torch.float64)
        shift = torch.tensor(mean, dtype=torch.float64) * scale
        weight = conv.weight.double()
        folded = torch.einsum("ochw,c->ohw", weight, scale).unsqueeze(1)
        bias = conv.bias.double() if conv.bias is not None else torch.zeros(conv.out_channels)
        offset = bias - torch.einsum("ochw,c->o", weight, shift)
        conv.weight = nn.Parameter(folded.to(conv.weight.dtype), requires_grad=False)
        conv.bias = nn.Parameter(offset.to(conv.weight.dtype), requires_grad=False)
    conv.in_channels = 1
    if hasattr(model.config, "num_channels"):
        model.config.num_channels = 1
