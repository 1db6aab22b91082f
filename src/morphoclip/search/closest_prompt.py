"""The prompt of the training that is closest to a text."""

from typing import NamedTuple

import pandas as pd
from torch import Tensor
from torch.nn.functional import cosine_similarity

from morphoclip.features.text_features import TextFeatures
from morphoclip.perturbations.prompts import text_by_digest


class ClosestPrompt(NamedTuple):
    """The prompt of the training whose text features are closest, and their cosine."""

    prompt: str
    cosine: float


def closest_prompt(
    features: Tensor, text_features: TextFeatures, prompts: pd.DataFrame
) -> ClosestPrompt:
    """The prompt closest to a text by its features ``(1, D_text)``; far from all, expect little."""
    cosines = cosine_similarity(features, text_features.features)
    closest = int(cosines.argmax())
    prompt = text_by_digest(prompts)[text_features.digests[closest]]
    return ClosestPrompt(str(prompt), float(cosines[closest]))
