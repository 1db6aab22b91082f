"""Features of prompts, looked up by the digest of their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor

from morphoclip.backbones.text import TextBackbone, TextBackboneConfig
from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.features.fingerprint import Fingerprint
from morphoclip.perturbations.prompts import TextLevel, prompt_digest


class TextFeaturesConfig(Config):
    """``params:text_features``."""

    level: TextLevel = TextLevel.FULL
    backbone: TextBackboneConfig
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")


@dataclass(frozen=True)
class TextFeatures:
    """Raw features of distinct prompts.

    Attributes:
        digests: SHA-256 of each prompt, ``P`` of them.
        features: ``(P, D_text)`` float32.
        fingerprint: What they were made with.
    """

    digests: tuple[str, ...]
    features: Tensor
    fingerprint: Fingerprint

    def lookup(self, digests: Sequence[str]) -> Tensor:
        """Features of these prompts, ``(len(digests), D_text)``.

        Raises:
            InputError: A prompt has no features.
        """
        row_of = {digest: row for row, digest in enumerate(self.digests)}
        absent = sorted(set(digests) - set(row_of))
        if absent:
            raise InputError(
                f"{len(absent)} prompt(s) have no text features, e.g. the one with digest "
                f"{example_of([digest[:12] for digest in absent])}; "
                "run: kedro run --pipeline text_features"
            )
        return self.features[torch.tensor([row_of[digest] for digest in digests])]

    def to_payload(self) -> dict[str, Any]:
        """Tensors and text only: what ``weights_only=True`` reads back."""
        return {
            "digests": list(self.digests),
            "features": self.features,
            "fingerprint": dict(self.fingerprint),
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_payload`."""
        return cls(tuple(payload["digests"]), payload["features"], payload["fingerprint"])


def encode_prompts(prompts: Sequence[str], backbone: TextBackbone) -> tuple[TextFeatures, int]:
    """Encode each distinct prompt once; also the number of prompts that were cut."""
    distinct = sorted(set(prompts))
    features, n_truncated = backbone.encode(distinct)
    digests = tuple(prompt_digest(prompt) for prompt in distinct)
    return TextFeatures(digests, features, dict(backbone.identity)), n_truncated
