"""Contrastive losses between wells and prompts.

All take unit vectors ``(B, E)`` of wells and of their prompts, row by row, and the log of the
logit scale. Losses are in nats.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from morphoclip.config import Config

LossName = Literal["infonce", "cwcl"]
TargetGenes = Literal["target", "target_list"]


class LossValue(NamedTuple):
    """A loss and the least value that it could take with these labels, both in nats."""

    loss: Tensor
    floor: Tensor


class LossConfig(Config):
    """``training.loss``."""

    name: LossName = "cwcl"
    target_weight: float = Field(
        0.0, ge=0, le=1, description="Affinity of different perturbations of one target gene."
    )
    gene_source: TargetGenes = Field(
        "target", description="A compound's genes: its primary target, or all it lists."
    )
    replicate_weight: float = Field(0.0, ge=0, description="Weight of the replicate alignment.")


def contrastive_loss(
    name: LossName, image: Tensor, text: Tensor, logit_scale: Tensor, *, affinity: Tensor
) -> LossValue:
    """The loss that `training.loss.name` names, with the least value it could take."""
    match name:
        case "infonce":
            return LossValue(infonce(image, text, logit_scale), image.new_zeros(()))
        case "cwcl":
            loss = cwcl(image, text, logit_scale, affinity=affinity)
            return LossValue(loss, label_entropy(affinity))
        case _:
            assert_never(name)


def infonce(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy with the diagonal as the truth (spec, "CWCL Loss", fallback)."""
    logits = logit_scale.exp() * image @ text.T
    truth = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, truth) + cross_entropy(logits.T, truth)) / 2


def cwcl(image: Tensor, text: Tensor, logit_scale: Tensor, *, affinity: Tensor) -> Tensor:
    """Continuously weighted contrastive loss (spec, "CWCL Loss"), normalised in each direction.

    ``affinity`` ``(B, B)`` says how alike perturbations i and j are. Its rows, and for text to
    image its columns, are divided by their sums: without that, wells with many replicates would
    weigh more. The least value is the mean entropy of the two sets of labels, not 0: see
    `label_entropy`.
    """
    logits = logit_scale.exp() * image @ text.T
    image_to_text = -(_rows_to_one(affinity) * log_softmax(logits, dim=1)).sum(1).mean()
    text_to_image = -(_rows_to_one(affinity.T) * log_softmax(logits.T, dim=1)).sum(1).mean()
    return (image_to_text + text_to_image) / 2


def label_entropy(affinity: Tensor) -> Tensor:
    """The least value that `cwcl` can take with these labels."""
    return (_entropy(_rows_to_one(affinity)) + _entropy(_rows_to_one(affinity.T))) / 2


def replicate_alignment(image: Tensor, perturbations: Tensor, logit_scale: Tensor) -> Tensor:
    """Supervised contrast between wells of one perturbation, other wells as negatives.

    Wells without a replicate in the batch are left out; a batch without any gives 0.
    """
    logits = logit_scale.exp() * image @ image.T
    itself = torch.eye(len(image), dtype=torch.bool, device=image.device)
    replicate = (perturbations.unsqueeze(0) == perturbations.unsqueeze(1)) & ~itself
    log_share = log_softmax(logits.masked_fill(itself, float("-inf")), dim=1)
    n_replicates = replicate.sum(1)
    has_any = n_replicates > 0
    each = -log_share.masked_fill(~replicate, 0.0).sum(1) / n_replicates.clamp(min=1)
    return (each * has_any).sum() / has_any.sum().clamp(min=1)


def prompt_affinity(genes: Sequence[frozenset[str]], target_weight: float) -> Tensor:
    """Affinity of P prompts, ``(P, P)``: 1 on the diagonal, else the weight where genes are shared.

    A prompt without genes shares none.
    """
    names = sorted(set().union(*genes)) if genes else []
    column = {name: number for number, name in enumerate(names)}
    listed = torch.zeros(len(genes), len(names))
    for row, members in enumerate(genes):
        for name in members:
            listed[row, column[name]] = 1.0
    affinity = target_weight * ((listed @ listed.T) > 0).float()
    return affinity.fill_diagonal_(1.0)


def _rows_to_one(affinity: Tensor) -> Tensor:
    return affinity / affinity.sum(dim=1, keepdim=True)


def _entropy(labels: Tensor) -> Tensor:
    return -torch.special.xlogy(labels, labels).sum(1).mean()
