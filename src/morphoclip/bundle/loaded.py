"""A bundle in memory: images, tokens and words into the model's space, and questions to it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from morphoclip.bundle.opened import PackedModelFiles
from morphoclip.bundle.place import folder_of
from morphoclip.bundle.plates_in_memory import plates_of_tokens, sites_table
from morphoclip.columns import embedding_columns
from morphoclip.errors import InputError
from morphoclip.evaluation.embedded_plates import profiles_of_plates
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.embedding import embed_text
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.search.index import SearchIndex
from morphoclip.search.question import Question
from morphoclip.search.questions import Kind, questions_of
from morphoclip.search.treatments import similar_treatments
from morphoclip.search.wells_and_texts import similar_texts, similar_wells

Among = Literal["treatments", "wells", "texts"]
"""What a search ranks."""


class Bundle(PackedModelFiles):
    """A model that was packed, and what it can be asked."""

    def embed_images(
        self,
        images: Sequence[ArrayLike],
        wells: Sequence[str],
        *,
        plates: str | Sequence[str] = "plate",
        controls: ArrayLike | None = None,
        pixel_size: float | None = None,
    ) -> pd.DataFrame:
        """Profiles of wells from their images.

        Args:
            images: S of them, each ``(C, H, W)`` in counts of the camera, channels in the order of
                ``images.channels``. All that there are of a plate: its grey levels are measured on
                them.
            wells: Name of each site's well, S of them.
            plates: Barcode of each site's plate, or of all.
            controls: Which sites are of negative controls, ``(S,)`` bool. Without them all wells
                of a plate are what it is normalised by.
            pixel_size: Micrometres per pixel, where the model's images had a known one.

        Returns:
            One row per well, as `embed_tokens` gives them.

        Raises:
            InputError: An image cannot be used, the pixel size is another, the model's images were
                evened by illumination functions, or the backbone cannot be loaded.
        """
        from morphoclip.bundle.demands import demanded_image_features
        from morphoclip.bundle.images_in_memory import tokens_of_images  # waits for images

        if self.images.preprocess.illumination != "none":
            raise InputError(
                "this model's images were evened by illumination functions, which arrays do not "
                "bring: use the pipeline embed_plates, or embed_tokens"
            )
        own = self.image_features()
        given = own.preprocess.model_copy(update={"pixel_size": pixel_size})
        demanded = demanded_image_features(self, own.model_copy(update={"preprocess": given}))
        sites = sites_table(len(images), wells, plates, controls)
        tokens = tokens_of_images(
            images,
            sites,
            self.images.model_copy(update={"preprocess": demanded.preprocess}),
            self.image_backbone,
            batch_size=own.batch_size,
            device=self._device,
        )
        return self._embed(tokens, sites, None)

    def embed_tokens(
        self,
        tokens: ArrayLike,
        wells: Sequence[str],
        *,
        plates: str | Sequence[str] = "plate",
        controls: ArrayLike | None = None,
        normalised: bool = False,
    ) -> pd.DataFrame:
        """Profiles of wells from the backbone's tokens.

        Args:
            tokens: ``(S, C, D)`` as the backbone gives them.
            wells: Name of each site's well, S of them.
            plates: Barcode of each site's plate, or of all.
            controls: Which sites are of negative controls, ``(S,)`` bool. Without them all wells
                of a plate are what it is normalised by.
            normalised: The tokens were normalised against their plates' controls already.

        Returns:
            One row per well: ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_n_sites``,
            ``Metadata_normalised_by``, and the embedding, of unit length.

        Raises:
            InputError: Shapes or names do not fit.
        """
        given = torch.as_tensor(np.asarray(tokens, dtype=np.float32))
        shape = (self.config.n_channels, self.config.feature_dim)
        if given.ndim != 3 or given.shape[1:] != shape:
            raise InputError(
                f"tokens have shape {tuple(given.shape)}; due are (sites, {shape[0]}, {shape[1]})"
            )
        sites = sites_table(len(given), wells, plates, controls)
        return self._embed(given, sites, TokenNormalisation.NONE if normalised else None)

    def _embed(
        self, tokens: torch.Tensor, sites: pd.DataFrame, normalise: TokenNormalisation | None
    ) -> pd.DataFrame:
        memory = plates_of_tokens(tokens, sites, self.config.image_fingerprint)
        return self.embed_plates(memory.features, memory.well_index, normalise=normalise)

    def embed_plates(
        self,
        plate_features: Loaders[PlateFeatures],
        well_index: pd.DataFrame,
        well_quality: pd.DataFrame | None = None,
        *,
        normalise: TokenNormalisation | None = None,
    ) -> pd.DataFrame:
        """Profiles of packed plates, as the pipeline ``embed_plates`` makes them.

        Raises:
            InputError: The features were made differently from those of the training.
        """
        return profiles_of_plates(
            self.model,
            plate_features,
            well_index,
            well_quality,
            batch_size=self._batch_size,
            device=self._device,
            normalise=normalise,
        )

    def embed_text(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors ``(P, E)`` of texts, by their words alone.

        Phrased like the prompts, they find most.

        Raises:
            InputError: The text backbone cannot be loaded, or is not the one of the training.
        """
        listed = [texts] if isinstance(texts, str) else list(texts)
        return embed_text(self.model, self.text_backbone.encode(listed), device=self._device)

    @cached_property
    def index(self) -> SearchIndex:
        """The reference profiles and texts, to be asked.

        Raises:
            InputError: The bundle has no reference profiles.
        """
        names = tuple(embedding_columns(self.prompts))
        return SearchIndex(self.wells, self.profiles, self.treatments, self.prompts, names)

    def search(
        self,
        question: str | ArrayLike,
        *,
        among: Among = "treatments",
        kind: Kind | None = None,
        top_k: int = 10,
    ) -> pd.DataFrame:
        """What is most similar to a question, with z, p and q against negative controls.

        Args:
            question: Words, a treatment (an ID, a compound, a gene), a plate and a well, a SMILES,
                or a vector ``(E,)`` of the space.
            among: What to rank.
            kind: What the question is; by what it names, where not given.
            top_k: Results per condition, or in all.

        Returns:
            A table; see `morphoclip.schemas.treatments`.

        Raises:
            InputError: Nothing has the name, or the bundle has no reference profiles.
        """
        questions = self._questions(question, kind)
        match among:
            case "treatments":
                return similar_treatments(self.index.conditions, questions, top_k=top_k)
            case "wells":
                return similar_wells(self.index, questions, top_k=top_k)
            case "texts":
                return similar_texts(self.index, questions, top_k=top_k)
            case _:
                raise InputError(f"among is treatments, wells or texts, not {among!r}")

    def _questions(self, question: str | ArrayLike, kind: Kind | None) -> list[Question]:
        if isinstance(question, str):
            return questions_of(question, self.index, lambda text: self.embed_text(text)[0], kind)
        vector = np.asarray(question, dtype=np.float32)
        width = self.profiles.shape[1]
        if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
            raise InputError(
                f"a vector of shape {vector.shape} is no question: due are {width} finite numbers, "
                "not all 0"
            )
        return [Question("vector", vector / np.linalg.norm(vector))]


def load_bundle(place: str | Path, *, revision: str | None = None, **settings: Any) -> Bundle:
    """The bundle in a folder, or of a repository on the Hugging Face hub (``owner/name``).

    Raises:
        InputError: There is none, or it cannot be read.
    """
    return Bundle(folder_of(place, revision), **settings)
