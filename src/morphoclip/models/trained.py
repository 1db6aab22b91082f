"""A trained model with everything that says what it may be used on."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from morphoclip.backbone_identity import tensors_digest
from morphoclip.errors import InputError
from morphoclip.fingerprint import Fingerprint, as_models_see_it, differences, require_fingerprint
from morphoclip.models.closed_form import ClosedForm
from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.wells.assemble import Wells

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """One of the spaces whose similarities a model averages: a module, and its share of them.

    ``plate_offsets`` are what cross-well alignment takes from a plate's embeddings, ``(E,)`` by
    barcode; plates without an entry are left as they are.
    """

    module: MorphoCLIP | ClosedForm
    share: float
    plate_offsets: dict[str, Tensor]


@dataclass(frozen=True)
class Member:
    """The weights of one pair of towers.

    Attributes:
        state: Weights.
        plate_offsets: What cross-well alignment takes from a plate's embeddings, ``(E,)``.
        epoch: The epoch these weights come from, from 1.
    """

    state: dict[str, Tensor]
    plate_offsets: dict[str, Tensor]
    epoch: int


@dataclass(frozen=True)
class TrainedModel:
    """A model with everything that says what it may be used on.

    Attributes:
        config: Its parameters.
        shape: What its data decided.
        members: Its pairs of towers, alike but for their seeds.
        closed_form: Weights of the closed form beside them, where there is one.
        fact_names: By source of known facts the names of the columns that it reads.
        image_fingerprint: The image features it was trained on.
        text_fingerprint: The text features it was trained on.
        manifest_sha256: The split it was trained on.
        wells_sha256: The wells, sites and prompts it was trained on.
        validation_joined: Whether the validation wells were trained on, too.
        started_from: Of a model that `lora` made, the digest of the one it went on with (``new``:
            none); None for one that `training` made.
    """

    config: ModelConfig
    shape: ModelShape
    members: tuple[Member, ...]
    closed_form: dict[str, Tensor] | None
    fact_names: Mapping[str, tuple[str, ...]]
    image_fingerprint: Fingerprint
    text_fingerprint: Fingerprint
    manifest_sha256: str
    wells_sha256: str
    validation_joined: bool = False
    started_from: str | None = None

    @cached_property
    def digest(self) -> str:
        """Digest of the weights, which every profile carries (``Metadata_model``)."""
        if len(self.members) == 1 and self.closed_form is None:
            return tensors_digest(self.members[0].state.items())
        named = {f"member {n}": member.state for n, member in enumerate(self.members, start=1)}
        named["closed form"] = self.closed_form or {}
        return tensors_digest(
            (f"{part} {name}", weight)
            for part, state in named.items()
            for name, weight in state.items()
        )

    @property
    def record(self) -> dict[str, Any]:
        """What tells this model from others, without its weights."""
        return {
            "digest": self.digest,
            "epochs": [member.epoch for member in self.members],
            "manifest_sha256": self.manifest_sha256,
            "wells_sha256": self.wells_sha256,
            "image_fingerprint": self.image_fingerprint,
            "text_fingerprint": self.text_fingerprint,
        }

    def parts(self) -> Iterator[Part]:
        """The modules with their weights, in evaluation mode; shares add up to 1.

        Together the members have the weight 1 and the closed form `model.closed_form_weight`.
        """
        of_members = 1.0 if self.members else 0.0
        weight = 0.0 if self.closed_form is None else self.config.closed_form_weight
        total = of_members + weight
        for member in self.members:
            module = MorphoCLIP(self.config, self.shape)
            module.load_state_dict(member.state)
            share = 1 / len(self.members) / total
            yield Part(module.eval(), share, member.plate_offsets)
        if self.closed_form is not None:
            n_rows = len(self.closed_form["image_tower.rows"])
            closed_form = ClosedForm(self.config, self.shape, n_rows)
            closed_form.load_state_dict(self.closed_form)
            yield Part(closed_form.eval(), weight / total, {})

    @property
    def aligned_plates(self) -> set[str]:
        """Plates whose embeddings are aligned by offsets that were measured in training."""
        return {plate for member in self.members for plate in member.plate_offsets}

    def read_text(self, text: Tensor, fact_names: Mapping[str, tuple[str, ...]]) -> Tensor:
        """Words and facts of prompts with the columns of this model, ``(P, D_text + F)``.

        A fact that the model has no column for is left out: nothing was learnt of it. A source that
        is not given is absent.
        """
        words = text[:, : self.shape.text_dim]
        if not self.fact_names or fact_names == self.fact_names:
            return text if self.fact_names else words
        place = {
            (source, name): column
            for column, (source, name) in enumerate(_columns(fact_names), self.shape.text_dim)
        }
        given = [place.get(column, text.shape[1]) for column in _columns(self.fact_names)]
        with_zeros = torch.cat([text, text.new_zeros(len(text), 1)], dim=1)
        unknown = len(place) - sum(column < text.shape[1] for column in given)
        if unknown:
            logger.info("%d known fact(s) are left out, of which the model learnt nothing", unknown)
        return torch.cat([words, with_zeros[:, given]], dim=1)

    def require_fits(self, wells: Wells) -> None:
        """Refuse wells whose features were made differently from those of the training.

        Raises:
            InputError: With the difference.
        """
        self.require_image_features(wells.image_fingerprint)
        self.require_text_features(wells.text_fingerprint)

    def require_image_features(self, fingerprint: Fingerprint) -> None:
        """Refuse tokens that were made differently from those of the training.

        Raises:
            InputError: With the difference.
        """
        _require_same("image", self.image_fingerprint, fingerprint)

    def require_text_features(self, fingerprint: Fingerprint) -> None:
        """Refuse text features that were made differently from those of the training.

        Raises:
            InputError: With the difference.
        """
        _require_same("text", self.text_fingerprint, fingerprint)

    def require_words(self, fingerprint: Fingerprint) -> None:
        """Refuse words that were encoded differently, whatever facts the training had beside them.

        Raises:
            InputError: With the difference.
        """
        own = {key: value for key, value in self.text_fingerprint.items() if key != "facts"}
        _require_same("text", own, fingerprint)

    def require_same_wells(self, wells: Wells) -> None:
        """Refuse to score the training's own split on wells with other sites or other prompts.

        Raises:
            InputError: They differ, or their features were made differently.
        """
        self.require_fits(wells)
        if wells.sha256 != self.wells_sha256:
            raise InputError(
                "the model was trained on wells with other sites or other prompts than these "
                "(other plates are ingested, or text_features.level, annotations or images have "
                "changed since): ingest the plates of the training, or train again"
            )

    def to_payload(self) -> dict[str, Any]:
        """Tensors, numbers and text only: what ``weights_only=True`` reads back."""
        return {
            "config": self.config.model_dump(mode="json"),
            "shape": {**vars(self.shape), "facts": dict(self.shape.facts)},
            "members": [vars(member) for member in self.members],
            "closed_form": self.closed_form,
            "fact_names": {source: list(names) for source, names in self.fact_names.items()},
            "image_fingerprint": self.image_fingerprint,
            "text_fingerprint": self.text_fingerprint,
            "manifest_sha256": self.manifest_sha256,
            "wells_sha256": self.wells_sha256,
            "validation_joined": self.validation_joined,
            "started_from": self.started_from,
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_payload`.

        Raises:
            InputError: An earlier version of this package wrote it, or weights are not finite.
            RuntimeError: Weights do not fit the configuration.
        """
        if "members" not in payload:
            raise InputError(
                "this model was written by an earlier version, and cannot be read: train again, "
                "kedro run --pipeline training"
            )
        trained = cls(
            **payload
            | {
                "config": ModelConfig.model_validate(payload["config"]),
                "shape": ModelShape(**payload["shape"]),
                "members": tuple(Member(**member) for member in payload["members"]),
                "fact_names": {
                    source: tuple(names) for source, names in payload["fact_names"].items()
                },
            }
        )
        weights = [weight for member in trained.members for weight in member.state.values()]
        weights += [offset for m in trained.members for offset in m.plate_offsets.values()]
        weights += list((trained.closed_form or {}).values())
        if not all(torch.isfinite(weight).all() for weight in weights):
            raise InputError("weights are not finite")
        require_fingerprint(trained.image_fingerprint, "image_fingerprint")
        require_fingerprint(trained.text_fingerprint, "text_fingerprint")
        if not all(isinstance(s, str) for s in (trained.manifest_sha256, trained.wells_sha256)):
            raise InputError("the digests of split and wells are no text")
        for _ in trained.parts():  # weights of other shapes, or of another configuration
            pass
        return trained


def _columns(fact_names: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Source and name of each column, in order."""
    return [(source, name) for source, names in fact_names.items() for name in names]


def _require_same(side: str, mine: Fingerprint, theirs: Fingerprint) -> None:
    differing = differences(as_models_see_it(theirs), as_models_see_it(mine))
    if differing:
        if any(difference.startswith("pixel_size") for difference in differing):
            remedy = (
                "cells would have another size; extract both with "
                "image_features.preprocess.resample:true, which brings them to one scale"
            )
            raise InputError(
                "the model was trained on images of another pixel size than these "
                f"({'; '.join(differing)}): {remedy}"
            )
        raise InputError(
            f"the model was trained on other {side} features than these "
            f"({'; '.join(differing)}); train again on these: kedro run --pipeline training"
            + (
                ", or name the set that it was trained on: --params image_features.name:<name>"
                if side == "image"
                else ""
            )
        )
