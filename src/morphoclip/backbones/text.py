"""A frozen text encoder by id or folder; hashed n-grams, which need no weights.

transformers is imported where a model is loaded: it takes seconds.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, assert_never

import torch
from torch import Tensor
from torch.nn.functional import normalize

from morphoclip.backbone_identity import identity_of
from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.backbones.image.transformers_model import explain_unavailable

_TOKENS_PER_BATCH = {"cpu": 1024, "gpu": 32_768}
"""A CPU gains nothing from large batches and loses by padding; a GPU wants to be filled."""


logger = logging.getLogger(__name__)


class TextBackbone(Protocol):
    """Prompts in, features out."""

    identity: dict[str, str]

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Features ``(P, D_text)`` float32."""
        ...

    def n_cut(self, prompts: Sequence[str]) -> int:
        """How many of these are too long to be read to their end."""
        ...


class HashedNgrams:
    """Words and character 3- to 5-grams, hashed with a sign into ``dim`` buckets, unit length."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.identity = {"model": "hashed n-grams", "dim": str(dim)}

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Signed counts of grams, scaled to unit length."""
        features = torch.zeros(len(prompts), self.dim)
        for row, prompt in enumerate(prompts):
            places = [self._place(gram) for gram in _grams(prompt)]
            buckets = torch.tensor([bucket for bucket, _ in places], dtype=torch.int64)
            features[row].index_add_(0, buckets, torch.tensor([sign for _, sign in places]))
        return normalize(features, dim=-1)

    def _place(self, gram: str) -> tuple[int, float]:
        digest = hashlib.blake2b(gram.encode(), digest_size=8).digest()
        return int.from_bytes(digest[:7], "big") % self.dim, 1.0 if digest[7] & 1 else -1.0

    def n_cut(self, prompts: Sequence[str]) -> int:  # noqa: ARG002 - no length is too long
        """Nothing is ever cut."""
        return 0


def _grams(prompt: str) -> Iterator[str]:
    for word in re.findall(r"[a-z0-9]+", prompt.lower()):
        yield f"word {word}"
        marked = f"<{word}>"
        for length in (3, 4, 5):
            for start in range(len(marked) - length + 1):
                yield marked[start : start + length]


class TextTransformer:
    """A frozen encoder, in batches of similar length: padding costs as much as text."""

    def __init__(self, config: TextBackboneConfig, *, device: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        assert config.model_id is not None
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                config.model_id, revision=config.revision
            )
            model = AutoModel.from_pretrained(
                config.model_id, revision=config.revision, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise explain_unavailable(config.model_id, "text backbone", error) from error
        self._model: Any = model.eval().requires_grad_(requires_grad=False).to(device)
        self._config, self._device = config, device
        self._tokens_per_batch = _TOKENS_PER_BATCH["cpu" if device == "cpu" else "gpu"]
        self.identity = identity_of(config.model_id, model) | {
            "pooling": config.pooling,
            "max_length": str(config.max_length),
        }

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """CLS or mean of the last hidden state."""
        lengths = self._lengths(prompts)
        order = sorted(range(len(prompts)), key=lambda i: (lengths[i], i))
        features = torch.empty(len(prompts), int(self._model.config.hidden_size))
        for rows in self._batches(order, lengths):
            features[rows] = self._encode_batch([prompts[row] for row in rows])
        return features

    def _batches(self, order: list[int], lengths: list[int]) -> Iterator[list[int]]:
        """Rows from the shortest on, as many as stay within the tokens when padded alike."""
        rows: list[int] = []
        for row in order:
            longest = min(lengths[row], self._config.max_length)
            if rows and longest * (len(rows) + 1) > self._tokens_per_batch:
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    def n_cut(self, prompts: Sequence[str]) -> int:
        """Prompts of more than ``max_length`` tokens."""
        return sum(length > self._config.max_length for length in self._lengths(prompts))

    def _lengths(self, prompts: Sequence[str]) -> list[int]:
        if not prompts:
            return []
        return [len(ids) for ids in self._tokenizer(list(prompts))["input_ids"]]

    def _encode_batch(self, prompts: list[str]) -> Tensor:
        tokens = self._tokenizer(
            prompts,
            padding=True,
            truncation=True,
            max_length=self._config.max_length,
            return_tensors="pt",
        ).to(self._device)
        hidden: Tensor = self._model(**tokens).last_hidden_state
        match self._config.pooling:
            case "cls":
                return hidden[:, 0].float().cpu()
            case "mean":
                mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                return ((hidden * mask).sum(1) / mask.sum(1)).float().cpu()
            case _:
                assert_never(self._config.pooling)


def load_text_backbone(config: TextBackboneConfig, *, device: str) -> TextBackbone:
    """The encoder that the parameters name.

    Raises:
        InputError: The model is gated, missing or unreachable.
    """
    match config.kind:
        case "ngrams":
            return HashedNgrams(config.dim)
        case "transformer":
            return TextTransformer(config, device=device)
        case _:
            assert_never(config.kind)


def warn_of_ngrams(backbone: TextBackbone) -> None:
    """Say that words of one's own need a language model, where there is none."""
    if isinstance(backbone, HashedNgrams):
        logger.warning(
            "the text backbone is n-grams, which compare spelling, not meaning: words of your own "
            "need a language model (text_features.backbone.kind transformer)"
        )
