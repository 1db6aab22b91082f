"""What a plate adds to embeddings: cross-well alignment during training, by batch or by condition.

Before the model, tokens are corrected by the plate's own controls (`morphoclip.plate_correction`).
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

CwaMode = Literal["off", "batch_mean", "condition_offset"]


def align_by_batch_mean(embeddings: Tensor, plates: Tensor) -> Tensor:
    """Cross-well alignment of image embeddings ``(B, E)`` by plate code ``(B,)``.

    Minus the mean of the plate's wells in this batch, back to unit length (spec, "CWA Batch
    Correction"). A plate with one well in the batch is left as it is: its mean is the well itself.
    """
    _, codes, counts = plates.unique(return_inverse=True, return_counts=True)
    sums = embeddings.new_zeros(len(counts), embeddings.shape[1]).index_add(0, codes, embeddings)
    means = sums / counts.unsqueeze(1)
    alone = (counts == 1)[codes].unsqueeze(1)
    return torch.where(alone, embeddings, normalize(embeddings - means[codes], dim=-1))


def align_by_offset(embeddings: Tensor, plates: Tensor, offsets: Tensor) -> Tensor:
    """Embeddings ``(B, E)`` minus their plate's offset, rows of ``(Q, E)``, at unit length."""
    return normalize(embeddings - offsets[plates], dim=-1)


def condition_offsets(embeddings: Tensor, plates: Tensor, conditions: Tensor) -> Tensor:
    """What each plate has that the plates of its condition have not: ``(Q, E)``.

    The mean of a plate's wells minus the mean of such means over its condition, plates weighing
    alike. Offsets of a condition add up to 0; a plate alone in its condition, or without a well
    here, has none. What modality or cell type do to all plates of a condition is left alone.

    Args:
        embeddings: Of the reference wells, ``(B, E)``.
        plates: Plate code of each of them, ``(B,)``.
        conditions: Condition code of each plate, ``(Q,)``.
    """
    n_plates, dim = len(conditions), embeddings.shape[1]
    counts = torch.bincount(plates, minlength=n_plates).unsqueeze(1).to(embeddings.dtype)
    means = embeddings.new_zeros(n_plates, dim).index_add(0, plates, embeddings)
    means = means / counts.clamp(min=1)
    present = (counts > 0).to(embeddings.dtype)
    n_conditions = int(conditions.max()) + 1
    sums = embeddings.new_zeros(n_conditions, dim).index_add(0, conditions, means * present)
    sizes = embeddings.new_zeros(n_conditions, 1).index_add(0, conditions, present)
    return (means - (sums / sizes.clamp(min=1))[conditions]) * present
