"""Features of prompts, and what else is known of their treatments, found by a prompt's digest."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import pandas as pd
import torch
from torch import Tensor

from morphoclip.backbones.text import TextBackbone
from morphoclip.errors import InputError, example_of
from morphoclip.fingerprint import Fingerprint, require_fingerprint
from morphoclip.perturbations.known_facts import FactSource, known_facts
from morphoclip.perturbations.prompts import prompt_digest


@dataclass(frozen=True)
class TextFeatures:
    """Raw features of distinct prompts, and known facts about what they describe.

    Attributes:
        digests: SHA-256 of each prompt, ``P`` of them.
        features: Of the words, ``(P, D_text)`` float32.
        fingerprint: What they were made with.
        fact_names: By source of facts the names of its columns; F together.
        facts: ``(P, F)``; None where no source was asked for.
    """

    digests: tuple[str, ...]
    features: Tensor
    fingerprint: Fingerprint
    fact_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Tensor | None = None

    def lookup(self, digests: Sequence[str]) -> Tensor:
        """Words and facts of these prompts side by side, ``(len(digests), D_text + F)``.

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
        rows = torch.tensor([row_of[digest] for digest in digests], dtype=torch.int64)
        if self.facts is None:
            return self.features[rows]
        return torch.cat([self.features[rows], self.facts[rows].float()], dim=1)

    def with_facts(
        self, perturbations: pd.DataFrame, prompts: pd.DataFrame, sources: Sequence[FactSource]
    ) -> Self:
        """The same words with what these sources know of each prompt's treatments.

        Raises:
            InputError: As `known_facts` does.
        """
        if not sources:
            return self
        known = known_facts(perturbations, prompts, self.digests, sources)
        named = {"facts": "+".join(sources)}
        return replace(
            self,
            fingerprint=self.fingerprint | named,
            fact_names=known.names,
            facts=torch.from_numpy(known.values).half(),
        )

    def to_payload(self) -> dict[str, Any]:
        """Tensors and text only: what ``weights_only=True`` reads back."""
        return {
            "digests": list(self.digests),
            "features": self.features,
            "fingerprint": dict(self.fingerprint),
            "fact_names": {source: list(names) for source, names in self.fact_names.items()},
            "facts": self.facts,
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_payload`.

        Raises:
            InputError: Shapes do not go together, or numbers are not finite.
        """
        names = payload.get("fact_names", {})
        found = cls(
            tuple(payload["digests"]),
            payload["features"],
            payload["fingerprint"],
            {source: tuple(columns) for source, columns in names.items()},
            payload.get("facts"),
        )
        n_facts = sum(map(len, found.fact_names.values()))
        expected = {
            "features": (found.features, (len(found.digests), found.features.shape[-1])),
            "facts": (found.facts, (len(found.digests), n_facts)),
        }
        for what, (tensor, shape) in expected.items():
            if tensor is None and what == "facts" and not n_facts:
                continue
            if (
                tensor is None
                or tensor.shape != shape
                or not tensor.is_floating_point()
                or not torch.isfinite(tensor).all()
            ):
                given = None if tensor is None else tuple(tensor.shape)
                raise InputError(f"{what} are {given}, not {shape} finite numbers")
        require_fingerprint(found.fingerprint, "fingerprint")
        if len(set(found.digests)) != len(found.digests):
            raise InputError("a prompt is there twice")
        return found


class Encoded(NamedTuple):
    """Features of the prompts that were asked for, and of all that this backbone ever encoded.

    ``n_encoded`` prompts had to be encoded; the others were in the cache.
    """

    features: TextFeatures
    cache: TextFeatures
    n_encoded: int


def encode_prompts(
    prompts: Sequence[str], backbone: TextBackbone, cache: TextFeatures | None = None
) -> Encoded:
    """Encode each distinct prompt that ``cache`` does not hold.

    Args:
        prompts: Texts, in any order and number.
        backbone: What encodes them.
        cache: Features of earlier prompts by the same backbone.
    """
    distinct = {prompt_digest(prompt): prompt for prompt in sorted(set(prompts))}
    cached = () if cache is None else cache.digests
    absent = [digest for digest in distinct if digest not in set(cached)]
    fingerprint = dict(backbone.identity)
    features = backbone.encode([distinct[digest] for digest in absent])
    if cache is not None:
        features = torch.cat([cache.features, features]) if absent else cache.features
    together = TextFeatures((*cached, *absent), features, fingerprint)
    wanted = TextFeatures(tuple(distinct), together.lookup(list(distinct)), fingerprint)
    return Encoded(wanted, together, len(absent))


def cache_key(backbone: TextBackbone) -> str:
    """A file name for what this backbone encodes: everything that changes features is in it."""
    identity = "\n".join(f"{key}={value}" for key, value in sorted(backbone.identity.items()))
    name = re.sub(r"\W+", "-", backbone.identity["model"])
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
