"""Words and known facts of prompts, brought to scales that do not depend on the data set."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphoclip.models.config import ModelShape


class PromptInput(nn.Module):
    """Splits what is known of prompts ``(P, D_text + F)`` into words and sources of facts.

    With ``scaled``, words are taken less the mean of the train prompts and brought to the length
    sqrt(D_text), so that a number has a variance of about 1. A fact counts by its inverse document
    frequency ``log((1 + n) / (1 + df))`` among the n train prompts, df of which share it (Robertson
    2004, doi:10.1108/00220410410560582); one that no train prompt has counts nothing, since nothing
    was learnt of it. A source is brought to ``fact_weight`` times sqrt(D_text).
    """

    def __init__(self, shape: ModelShape, *, scaled: bool, fact_weight: float) -> None:
        super().__init__()
        self.sizes = [shape.text_dim, *shape.facts.values()]
        self.length = shape.text_dim**0.5
        self.fact_length = fact_weight * self.length
        self.mean: Tensor | None
        self.rarity: Tensor | None
        self.register_buffer("mean", torch.zeros(shape.text_dim) if scaled else None)
        self.register_buffer("rarity", torch.zeros(sum(self.sizes[1:])) if shape.facts else None)

    @torch.no_grad()
    def fit(self, train: Tensor) -> None:
        """Measure means and frequencies on the train prompts ``(P_train, D_text + F)``."""
        words, facts = train[:, : self.sizes[0]], train[:, self.sizes[0] :]
        if self.mean is not None:
            self.mean.copy_(words.mean(dim=0))
        if self.rarity is not None:
            shared_by = (facts > 0).sum(dim=0)
            rarity = torch.log((1 + len(train)) / (1 + shared_by))
            self.rarity.copy_(rarity * (shared_by > 0))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Words ``(P, D_text)``, then each source's facts; where nothing is known, zeros."""
        words, facts = features[:, : self.sizes[0]], features[:, self.sizes[0] :]
        if self.mean is not None:
            words = self.length * normalize(words - self.mean, dim=-1)
        if self.rarity is None:
            return [words]
        sources = (facts * self.rarity).split(self.sizes[1:], dim=-1)
        return [words, *(self.fact_length * normalize(source, dim=-1) for source in sources)]
