"""Two towers without training: regularised kernel canonical correlations, in closed form.

Each side is compared with the train wells, or their prompts, by an RBF kernel ``K``, centred, and
sent through ``(K + lambda)^-1`` (Hardoon et al. 2004, doi:10.1162/0899766042321814, with ridge on
both sides): both sides are then described by the same train wells, and where an image and a text
are described alike they belong together. With few hundred perturbations this does as well as
trained towers, and errs elsewhere: the two together do better than either.
"""

import logging

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.prompt_input import PromptInput
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch

logger = logging.getLogger(__name__)

MOST_WELLS = 8192
"""Kernels are fitted on as many train wells at most: they grow with the square."""


class KernelTower(nn.Module):
    """Rows ``(B, F)`` of one side to unit vectors ``(B, E)``, by their likeness to N train rows.

    Rows are taken less the train mean and brought to unit length; the kernel's width is the median
    squared distance between train rows.
    """

    def __init__(self, n_rows: int, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.rows: Tensor
        self.rate: Tensor
        self.row_means: Tensor
        self.weights: Tensor
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("rows", torch.zeros(n_rows, input_dim))
        self.register_buffer("rate", torch.ones(()))
        self.register_buffer("row_means", torch.zeros(n_rows))
        self.register_buffer("weights", torch.zeros(n_rows, output_dim))

    def place(self, rows: Tensor) -> None:
        """Take these train rows ``(N, F)`` as what others are compared with."""
        self.mean.copy_(rows.mean(dim=0))
        self.rows.copy_(normalize(rows - self.mean, dim=-1))
        of_pairs = torch.triu_indices(len(rows), len(rows), 1)
        distances = (2 - 2 * self.rows @ self.rows.T)[of_pairs[0], of_pairs[1]]
        width = distances.median() if len(distances) else distances.new_ones(())
        self.rate.copy_(1 / width.clamp(min=1e-6))
        self.row_means.copy_(self._kernel(self.rows).mean(dim=0))

    def _kernel(self, unit: Tensor) -> Tensor:
        squared = (unit**2).sum(dim=-1, keepdim=True) + (self.rows**2).sum(dim=-1)
        return torch.exp(-self.rate * (squared - 2 * unit @ self.rows.T))

    def centred_kernel(self, rows: Tensor) -> Tensor:
        """``(B, N)``: the kernel to the train rows in the space whose origin is their mean."""
        kernel = self._kernel(normalize(rows - self.mean, dim=-1))
        own_means = kernel.mean(dim=-1, keepdim=True)
        return kernel - self.row_means - own_means + self.row_means.mean()

    def forward(self, rows: Tensor) -> Tensor:
        """``(B, F)`` -> ``(B, E)``."""
        return normalize(self.centred_kernel(rows) @ self.weights, dim=-1)


class ClosedForm(nn.Module):
    """Both sides; what `MorphoCLIP` does, fitted instead of trained."""

    def __init__(self, config: ModelConfig, shape: ModelShape, n_rows: int) -> None:
        super().__init__()
        width = min(n_rows, config.output_dim)
        text_dim = shape.text_dim + sum(shape.facts.values())
        self.prompt_input = PromptInput(shape, scaled=True, fact_weight=config.fact_weight)
        self.image_tower = KernelTower(n_rows, shape.n_channels * shape.feature_dim, width)
        self.text_tower = KernelTower(n_rows, text_dim, width)

    def encode_image(self, wells: WellBatch) -> Tensor:
        """``(B, E)`` unit vectors of wells, by the mean over sites of their tokens."""
        return self.image_tower(wells.means(self.image_tower.rows.dtype).flatten(1))

    def encode_text(self, features: Tensor) -> Tensor:
        """``(P, D_text + F)`` -> ``(P, E)`` unit vectors of prompts."""
        return self.text_tower(self.sources(features.to(self.text_tower.rows.dtype)))

    def sources(self, features: Tensor) -> Tensor:
        """Words and each source of facts at a common length, side by side."""
        return torch.cat([normalize(part, dim=-1) for part in self.prompt_input(features)], dim=-1)


def fit_closed_form(wells: Wells, train: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """Weights of the closed form of the train wells ``(B_train,)``, one row per well.

    Wells, rather than the means of a prompt's wells, show how far an image strays.
    """
    chosen = wells.select(train)
    n_wells = len(chosen.table)
    kept = torch.arange(n_wells)
    if n_wells > MOST_WELLS:
        kept = torch.linspace(0, n_wells - 1, MOST_WELLS).round().long()
        logger.warning("the closed form is fitted on %d of %d train wells", MOST_WELLS, n_wells)
    model = ClosedForm(config, ModelShape.of(wells), len(kept)).double()
    text = chosen.text.double()
    model.prompt_input.fit(text)
    fit_kernel_towers(
        (model.image_tower, chosen.sites.to("cpu").means(torch.float64).flatten(1)[kept]),
        (model.text_tower, model.sources(text)[chosen.prompt_of_well[kept]]),
        strength=config.closed_form_strength,
    )
    return {name: tensor.clone() for name, tensor in model.float().state_dict().items()}


def fit_kernel_towers(*sides: tuple[KernelTower, Tensor], strength: float) -> None:
    """Fit a tower to the train rows ``(N, F)`` of each side; row n of all sides belongs together.

    Weights are ``(K + strength)^-1``. Where towers have fewer dimensions than there are rows, both
    sides are turned into the directions in which the embedded train rows extend furthest.
    """
    solved, embedded = [], []
    for tower, rows in sides:
        tower.place(rows)
        kernel = tower.centred_kernel(rows)
        inverse = torch.linalg.inv(kernel + strength * torch.eye(len(rows), dtype=kernel.dtype))
        solved.append(inverse)
        embedded.append(normalize(kernel @ inverse, dim=-1))
    turn = _furthest_directions(torch.cat(embedded), sides[0][0].weights.shape[1])
    for (tower, _), inverse in zip(sides, solved, strict=True):
        tower.weights.copy_(inverse @ turn)


def _furthest_directions(rows: Tensor, number: int) -> Tensor:
    """``(N, number)``: orthonormal directions of rows ``(R, N)``; unturned, where all fit."""
    if rows.shape[1] <= number:
        return torch.eye(rows.shape[1], dtype=rows.dtype)
    _, directions = torch.linalg.eigh(rows.T @ rows)
    return directions.flip(1)[:, :number]
