"""The two towers with the vision backbone before them: what is trained with an adapter."""

from typing import Self

import torch
from torch import Tensor, nn

from morphoclip.backbones.adapter import dropouts_of
from morphoclip.backbones.image.base import ImageBackbone
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.plate_correction import PlateNormalisation, TokenNormalisation
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.site_images import ImageBatch


class FineTuned(nn.Module):
    """Images of wells and prompts to unit vectors of one space.

    Tokens are normalised against their plate's negative controls as stored features are, by
    constants that `set_normalisation` renews every ``renew_every`` steps. Between
    `follow_constants` and `gradients_of_constants` they gather gradients.
    """

    def __init__(
        self,
        backbone: ImageBackbone,
        towers: MorphoCLIP,
        *,
        n_plates: int,
        normalisation: TokenNormalisation,
        renew_every: int = 1,
    ) -> None:
        super().__init__()
        self.backbone, self.towers, self.normalisation = backbone, towers, normalisation
        self.renew_every = renew_every
        shape = (n_plates, towers.shape.n_channels, towers.shape.feature_dim)
        self.plate_mean: Tensor
        self.plate_sd: Tensor
        self.plate_rotation: Tensor | None
        self.register_buffer("plate_mean", torch.zeros(shape))
        self.register_buffer("plate_sd", torch.ones(shape))
        decorrelated = normalisation is TokenNormalisation.NEGCON_SPHERING
        rotation = torch.zeros(*shape, shape[-1]) if decorrelated else None
        self.register_buffer("plate_rotation", rotation)
        self._followed: tuple[Tensor, Tensor] | None = None

    @property
    def logit_scale(self) -> nn.Parameter:
        """Log of the inverse temperature."""
        return self.towers.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """Of a loss that has one."""
        return self.towers.logit_bias

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - nn.Module's signature
        """Towers, and of the backbone the adapter's dropout."""
        super().train(mode)
        for dropout in dropouts_of(self.backbone):
            dropout.train(mode)
        return self

    def set_normalisation(self, plate: int, fitted: PlateNormalisation) -> None:
        """What tokens of the plate with this code are normalised by from now on."""
        self.plate_mean[plate] = fitted.mean
        self.plate_sd[plate] = fitted.sd
        if self.plate_rotation is not None and fitted.rotation is not None:
            self.plate_rotation[plate] = fitted.rotation

    def follow_constants(self) -> bool:
        """From now on, gather the gradients of every plate's mean and sd.

        False where nothing would come of them: tokens are not normalised, or no weight before them
        is trained.
        """
        learns = any(weight.requires_grad for weight in self.backbone.parameters())
        if self.normalisation is TokenNormalisation.NONE or not learns:
            return False
        self._followed = (
            self.plate_mean.clone().requires_grad_(),
            self.plate_sd.clone().requires_grad_(),
        )
        return True

    def gradients_of_constants(self) -> tuple[Tensor, Tensor]:
        """Those gradients, ``(Q, C, D)`` each, 0 where none came; no more are gathered."""
        assert self._followed is not None
        mean, sd = (
            torch.zeros_like(constant) if constant.grad is None else constant.grad
            for constant in self._followed
        )
        self._followed = None
        return mean, sd

    def tokens(self, wells: ImageBatch) -> Tensor:
        """The backbone's tokens ``(S, C, D)`` of all sites, not normalised."""
        tokens: Tensor = self.backbone(wells.tokens.to(self.logit_scale.dtype))
        return tokens.to(self.logit_scale.dtype)

    def encode_image(self, wells: WellBatch) -> Tensor:
        """``(B, E)`` unit vectors of wells.

        Raises:
            TypeError: The batch holds tokens instead of images.
        """
        if not isinstance(wells, ImageBatch):
            raise TypeError("a backbone in training takes images")
        tokens = self.tokens(wells)
        plate = wells.plates.repeat_interleave(wells.n_sites)
        mean, sd = self._followed or (self.plate_mean, self.plate_sd)
        tokens = (tokens - mean[plate]) / sd[plate]
        if self.plate_rotation is not None:
            rotated = torch.empty_like(tokens)
            for code in wells.plates.unique().tolist():
                own = plate == code
                rotated[own] = torch.einsum("scd,cde->sce", tokens[own], self.plate_rotation[code])
            tokens = rotated
        return self.towers.encode_image(WellBatch(tokens, wells.offsets))

    def encode_text(self, features: Tensor) -> Tensor:
        """``(P, D_text)`` -> ``(P, E)`` unit vectors of prompts."""
        return self.towers.encode_text(features)
