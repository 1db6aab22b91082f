"""What the page shows: profiles that can be asked, what was measured of wells, and pictures."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.bundle.files import (
    CONFIG_FILE,
    PROFILES_FILE,
    PROMPTS_FILE,
    TREATMENTS_FILE,
    WELLS_FILE,
    BundleFiles,
    no_profiles,
    read_json,
)
from morphoclip.bundle.place import folder_of
from morphoclip.columns import (
    BROAD_SAMPLE,
    CHANNEL,
    CONDITION,
    MODALITY,
    MODEL,
    PLATE,
    QUALITY,
    ROLE,
    WELL,
    embedding_columns,
)
from morphoclip.errors import InputError, example_of
from morphoclip.loaders import Loaders
from morphoclip.search.index import SearchIndex
from morphoclip.wells.pictures import WellPictures

logger = logging.getLogger(__name__)

_PICTURES = "02_intermediate/thumbnails"
_ANNDATA = "08_reporting/well_profiles.h5ad"
_TABLES = {"well_quality": "02_intermediate/well_quality", "site_qc": "02_intermediate/site_qc"}
_MEASURED_OF_CHANNELS = ("mean", "focus")
_WORDS = {"nuclei": "nuclei", "n_near_empty": "sites near empty", "brightness": "brightness"}


MOST_POINTS = 20_000
"""Wells on the map; of more, evenly chosen ones."""


class Places(NamedTuple):
    """Rows of wells ``(N,)``, their places ``(N, 2)``, and what the axes are."""

    rows: NDArray[np.int64]
    places: NDArray[np.float32]
    words: str


@dataclass(frozen=True)
class ExploreData:
    """What the page shows.

    Attributes:
        title: What the bundle is called.
        index: Wells, treatments and texts.
        embed_text: Words to a vector ``(E,)``.
        cells: Pictures of wells; none where none were kept.
        measured: Numbers of wells, by plate and well; one column each.
        anndata: Profiles as AnnData with a UMAP, newest first.
        words_are_at_hand: Whether embedding words needs no model from the hub.
    """

    title: str
    index: SearchIndex
    embed_text: Callable[[str], NDArray[np.float32]]
    cells: WellPictures
    measured: pd.DataFrame
    anndata: tuple[Path, ...] = ()
    words_are_at_hand: bool = False

    @cached_property
    def row_of(self) -> Mapping[tuple[str, str], int]:
        """Row of each well's profile, by plate and well."""
        keys = zip(self.index.wells[PLATE], self.index.wells[WELL], strict=True)
        return {key: row for row, key in enumerate(keys)}

    @cached_property
    def first_shown(self) -> Mapping[tuple[str, str, str], tuple[str, str]]:
        """Plate and well of the first picture of each condition, modality and ID."""
        columns = [CONDITION, MODALITY, BROAD_SAMPLE, PLATE, WELL]
        treated = self.index.wells.loc[self.index.is_treated, columns]
        found: dict[tuple[str, str, str], tuple[str, str]] = {}
        for condition, modality, sample, plate, well in treated.itertuples(index=False):
            key = (condition, modality, sample)
            if key not in found and self.cells.of(plate, well):
                found[key] = (plate, well)
        return found

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in pictures, in order."""
        return self.cells.channels

    @cached_property
    def components(self) -> Places:
        """Wells by the first two principal components of their profiles."""
        return _components(self.index.profiles)

    @cached_property
    def umap(self) -> Places | None:
        """Wells by the UMAP that `evaluation` made of this model's profiles; None without one."""
        return next(filter(None, (_umap(path, self) for path in self.anndata)), None)

    def prepare(self) -> None:
        """Compute what first questions would wait for; a language model is not fetched for it."""
        _ = (self.index.conditions, self.index.names, self.first_shown, self.components)
        if self.words_are_at_hand:
            self.embed_text("cells")

    @cached_property
    def columns(self) -> list[str]:
        """What a plate map can be coloured by."""
        of_wells = [name for name in (CONDITION, ROLE, QUALITY) if name in self.index.wells]
        return [*self.measured.columns, "similarity to controls", *of_wells]


def _some(n_wells: int) -> NDArray[np.int64]:
    if n_wells <= MOST_POINTS:
        return np.arange(n_wells)
    return np.linspace(0, n_wells - 1, MOST_POINTS).round().astype(np.int64)


def _components(profiles: NDArray[np.float32]) -> Places:
    rows = _some(len(profiles))
    vectors = np.asarray(profiles[rows], dtype=np.float32)
    vectors = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    share = values[::-1] / max(float(values.sum()), 1e-12)
    places = vectors @ axes[:, ::-1][:, :2].astype(np.float32)
    one, other = (f"{100 * part:.0f} %" for part in share[:2])
    return Places(rows, places, f"the first two principal components: {one} and {other}")


def _umap(path: Path, data: ExploreData) -> Places | None:
    """The UMAP in a file of profiles; None where they are of another model or of other wells."""
    import anndata

    try:
        profiles = anndata.read_h5ad(path, backed="r")
        places = np.asarray(profiles.obsm["X_umap"], dtype=np.float32)
        table = profiles.obs[[PLATE, WELL, MODEL]].astype(str)
        profiles.file.close()
    except (OSError, KeyError, ValueError):
        return None
    of_row = dict(zip(zip(table[PLATE], table[WELL], strict=True), range(len(table)), strict=True))
    rows = _some(len(data.index.wells))
    shown = data.index.wells.iloc[rows]
    found = [of_row.get(key) for key in zip(shown[PLATE], shown[WELL], strict=True)]
    if set(table[MODEL]) != {data.title} or None in found:
        return None
    return Places(rows, places[np.array(found)], "UMAP with 15 neighbours, by cosine")


def explore_data(place: str, *, feature_set: str | None = None) -> ExploreData:
    """Of a bundle, or of a data folder that holds one; pictures and numbers where they lie beside.

    Args:
        place: A bundle's folder or name on the hub, or a data folder.
        feature_set: Whose pictures and numbers; the only one, where there is one.

    Raises:
        InputError: There is no bundle, or several feature sets to choose from.
    """
    folder = Path(place)
    own = folder / "06_models" / "bundle"
    if folder.is_dir() and not (folder / CONFIG_FILE).exists() and own.is_dir():
        bundle, data = own, folder
    else:
        bundle = folder_of(place)
        data = bundle.resolve().parent.parent
    written = read_json(bundle)
    files = BundleFiles(bundle, written["files"])
    if PROFILES_FILE not in files:
        raise no_profiles(bundle)
    name = _feature_set(data, feature_set)
    wells, texts = files.table(WELLS_FILE), files.table(PROMPTS_FILE)
    return ExploreData(
        title=str(written["digest"]),
        index=SearchIndex(
            wells,
            files.matrix(PROFILES_FILE),
            files.table(TREATMENTS_FILE),
            texts,
            tuple(embedding_columns(texts)),
        ),
        embed_text=_Words(bundle),
        cells=WellPictures(
            _pictures(data / _PICTURES / name) if name else {},
            wells,
            tuple((written["images"] or {}).get("channels", ())),
        ),
        measured=_measured(data, name),
        anndata=tuple(sorted(data.glob(f"{_ANNDATA}/*/well_profiles.h5ad"), reverse=True)),
        words_are_at_hand=written["text"]["kind"] == "ngrams",
    )


class _Words:
    """Words to vectors, by a model that is loaded for the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()  # a tokenizer serves one thread at a time

    @cached_property
    def _bundle(self) -> Any:
        from morphoclip.bundle.loaded import Bundle  # and with it torch

        return Bundle(self._folder)

    def __call__(self, text: str) -> NDArray[np.float32]:
        """``(E,)``."""
        with self._lock:
            vectors: NDArray[np.float32] = self._bundle.embed_text(text)
        return vectors[0]


def _feature_set(data: Path, wanted: str | None) -> str | None:
    folders = (data / _PICTURES, *(data / path for path in _TABLES.values()))
    there = sorted({path.name for folder in folders for path in folder.glob("*/")})
    if wanted is not None and wanted not in there:
        raise InputError(
            f"there is no feature set {wanted}; there are: {example_of(there) or 'none'}"
        )
    if wanted is None and len(there) > 1 and "default" not in there:
        raise InputError(f"there are several feature sets, name one: --set {there[0]}")
    chosen = wanted or ("default" if "default" in there else next(iter(there), None))
    if chosen is None:
        logger.warning("no pictures lie beside the bundle: the page shows none")
    return chosen


def _pictures(folder: Path) -> Loaders[bytes]:
    return {
        f"{path.parent.name}/{path.stem}": path.read_bytes
        for path in sorted(folder.glob("*/*.webp"))
    }


def _measured(data: Path, feature_set: str | None) -> pd.DataFrame:
    """Numbers of wells from the tables of image quality."""
    empty = pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=[PLATE, WELL]))
    if feature_set is None:
        return empty
    tables = {name: _read(data / path / feature_set) for name, path in _TABLES.items()}
    parts = []
    if tables["well_quality"] is not None:
        quality = tables["well_quality"].set_index([PLATE, WELL])
        parts.append(quality[list(_WORDS)].dropna(axis=1, how="all").rename(columns=_WORDS))
    if tables["site_qc"] is not None:
        keys = [PLATE, WELL, CHANNEL]
        means = tables["site_qc"].pivot_table(list(_MEASURED_OF_CHANNELS), keys[:2], keys[2])
        means.columns = [f"{measure} {channel}" for measure, channel in means.columns]
        parts.append(means)
    return pd.concat(parts, axis=1) if parts else empty


def _read(folder: Path) -> pd.DataFrame | None:
    files = sorted(folder.glob("*.parquet"))
    return pd.concat(map(pd.read_parquet, files), ignore_index=True) if files else None
