"""Contrastive losses between wells and prompts.

All take unit vectors ``(B, E)`` of wells and of their prompts, row by row, and the log of the
logit scale. Losses are in nats.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    log_softmax,
    normalize,
)

from morphoclip.config import Config
from morphoclip.wells.batch import rows_of_wells

LossName = Literal["infonce", "cwcl", "cellclip_cwcl", "siglip"]
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
    replicate_weight: float = Field(
        0.0, ge=0, le=1000, description="Weight of the replicate alignment."
    )


class Labels(NamedTuple):
    """What losses compare B wells by.

    Attributes:
        affinity: How alike their perturbations are, ``(B, B)``.
        tokens: Mean channel tokens of each well, ``(B, C, D)``, for `cellclip_cwcl`.
        logit_bias: What `siglip` adds to all logits.
    """

    affinity: Tensor
    tokens: Tensor | None = None
    logit_bias: Tensor | None = None


def contrastive_loss(
    name: LossName, image: Tensor, text: Tensor, logit_scale: Tensor, labels: Labels
) -> LossValue:
    """The loss that `training.loss.name` names, with the least value it could take."""
    affinity = labels.affinity
    match name:
        case "infonce":
            return LossValue(infonce(image, text, logit_scale), image.new_zeros(()))
        case "cwcl":
            loss = cwcl(image, text, logit_scale, affinity=affinity)
            return LossValue(loss, label_entropy(affinity))
        case "cellclip_cwcl":
            assert labels.tokens is not None
            weights = channel_similarity(labels.tokens)
            loss = cellclip_cwcl(image, text, logit_scale, weights=weights)
            return LossValue(loss, _entropy(_rows_to_one(weights)))
        case "siglip":
            assert labels.logit_bias is not None
            loss = siglip(image, text, logit_scale, labels.logit_bias, affinity=affinity)
            return LossValue(loss, _binary_entropy(affinity).sum(1).mean())
        case _:
            assert_never(name)


def needs_tokens(name: LossName) -> bool:
    """Whether a loss compares the inputs of wells."""
    return name == "cellclip_cwcl"


def has_bias(name: LossName) -> bool:
    """Whether a loss adds a learnt bias to the logits."""
    return name == "siglip"


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


def cellclip_cwcl(image: Tensor, text: Tensor, logit_scale: Tensor, *, weights: Tensor) -> Tensor:
    """CellCLIP's loss (Lu et al. 2025, arXiv:2506.06290, after arXiv:2309.14580).

    Image to text is weighted by how alike the *inputs* of wells are, ``weights`` ``(B, B)``; text
    to image knows one true well. The two are added, not averaged.
    """
    logits = logit_scale.exp() * image @ text.T
    image_to_text = -(_rows_to_one(weights) * log_softmax(logits, dim=1)).sum(1).mean()
    truth = torch.arange(len(logits), device=logits.device)
    return image_to_text + cross_entropy(logits.T, truth)


def channel_similarity(tokens: Tensor) -> Tensor:
    """Half of one plus the mean cosine over channels: ``(B, C, D)`` -> ``(B, B)`` in [0, 1]."""
    unit = normalize(tokens.float(), dim=-1)
    similarity = 0.5 + torch.einsum("icd,jcd->ij", unit, unit) / (2 * tokens.shape[1])
    return similarity.clamp(0, 1)


def siglip(
    image: Tensor, text: Tensor, logit_scale: Tensor, logit_bias: Tensor, *, affinity: Tensor
) -> Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, arXiv:2303.15343): each pair is a yes or a no.

    Summed over the texts of a well, averaged over wells. Affinities between 0 and 1 are soft
    answers; with zeros and ones it is the paper's equation.
    """
    logits = logit_scale.exp() * image @ text.T + logit_bias
    pairs = binary_cross_entropy_with_logits(logits, affinity.to(logits.dtype), reduction="none")
    return pairs.sum(1).mean()


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


class PromptAffinity:
    """How alike prompts are: 1 for the same, the weight where they share a gene, else 0.

    Worked out for one batch at a time: of 100,000 prompts all pairs would fill 40 GB.

    Args:
        genes: Of each of P prompts; one without genes shares none.
        target_weight: Of different prompts that share a gene.
    """

    def __init__(self, genes: Sequence[frozenset[str]], target_weight: float) -> None:
        names = sorted(set().union(*genes)) if genes else []
        code = {name: number for number, name in enumerate(names)}
        self._codes = torch.tensor([code[name] for members in genes for name in sorted(members)])
        self._starts = torch.tensor([0, *map(len, genes)]).cumsum(0)
        self._weight = target_weight

    def of(self, prompts: Tensor) -> Tensor:
        """Of the prompts of B wells ``(B,)``, ``(B, B)``, on their device."""
        same = prompts.unsqueeze(1) == prompts
        if self._weight == 0:
            return same.float()
        places, offsets = rows_of_wells(self._starts, prompts.cpu())
        names, column = self._codes[places].unique(return_inverse=True)
        listed = torch.zeros(len(prompts), len(names))
        listed[torch.arange(len(prompts)).repeat_interleave(offsets.diff()), column] = 1
        affinity = self._weight * ((listed @ listed.T) > 0).float()
        return affinity.to(prompts.device).masked_fill(same, 1.0)


def _binary_entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares) - torch.special.xlogy(1 - shares, 1 - shares)


def _rows_to_one(affinity: Tensor) -> Tensor:
    return affinity / affinity.sum(dim=1, keepdim=True)


def _entropy(labels: Tensor) -> Tensor:
    return -torch.special.xlogy(labels, labels).sum(1).mean()
