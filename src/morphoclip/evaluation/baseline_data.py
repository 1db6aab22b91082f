"""What baselines are fitted on and what they rank."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from morphoclip.evaluation.perturbation_sets import PerturbationSet
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.models.config import ModelShape
from morphoclip.models.prompt_input import PromptInput

_INNER_FOLDS = 4


@dataclass(frozen=True)
class BaselineData:
    """Train and held-out perturbations.

    Attributes:
        train: What a baseline is fitted on, P_train perturbations.
        held_out: What it ranks, P perturbations.
        train_image: ``(P_train, F)``, at unit length, less the train mean.
        held_out_image: ``(P, F)``.
        train_text: What is read of prompts, ``(P_train, D)``.
        held_out_text: ``(P, D)``.
    """

    train: PerturbationSet
    held_out: PerturbationSet
    train_image: Matrix
    held_out_image: Matrix
    train_text: Matrix
    held_out_text: Matrix

    @classmethod
    def of(cls, train: PerturbationSet, held_out: PerturbationSet) -> Self:
        """Centre the image features by train and scale them to unit length; read words alone."""
        mean = train.image.mean(axis=0)
        image = (unit_rows(train.image - mean), unit_rows(held_out.image - mean))
        return cls(train, held_out, *image, train.text, held_out.text)

    def with_facts(self) -> Self:
        """Words and each source of known facts at a common length, as the model reads them."""
        shape = ModelShape(1, 1, self.train.text.shape[1], self.train.fact_sizes)
        read = PromptInput(shape, scaled=True, fact_weight=1.0).double()
        known = [
            torch.from_numpy(np.concatenate([some.text, some.facts], axis=1))
            for some in (self.train, self.held_out)
        ]
        read.fit(known[0])
        train, held_out = (torch.cat(read(one), dim=1).numpy() for one in known)
        return replace(self, train_text=train, held_out_text=held_out)

    def inner(self, rng: np.random.Generator) -> list[Self]:
        """Folds of the train perturbations: each is held out once."""
        fold = rng.permutation(len(self.train.digests)) % _INNER_FOLDS
        return [
            type(self).of(
                self.train.select(np.flatnonzero(fold != number)),
                self.train.select(np.flatnonzero(fold == number)),
            )
            for number in range(_INNER_FOLDS)
        ]
