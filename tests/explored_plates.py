"""Plates for the page's tests: planted neighbours, pictures, and strings that mean harm."""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.bundle.pack import TREATMENT_COLUMNS
from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    EMBEDDING_PREFIX,
    ENTITY,
    GENE,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PLATE,
    PROMPT,
    ROLE,
    SUBSET,
    WELL,
)
from morphoclip.explore.data import ExploreData
from morphoclip.features.site_files import site_key
from morphoclip.imaging.thumbnails import encode_strip
from morphoclip.search.index import SearchIndex
from morphoclip.wells.pictures import WellPictures

DIM = 16
CHANNELS = ("MITO", "AGP", "RNA", "ER", "DNA")
HARMFUL = (
    "<script>window.harmed = 1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "{{ 7 * 7 }}",
    '=HYPERLINK("http://evil.example","x")',
    "../../etc/passwd",
    "'; DROP TABLE wells; --",
    "javascript:window.harmed=1",
)


def profiles(n_plates: int = 2, n_treatments: int = 14, n_controls: int = 10) -> pd.DataFrame:
    wells = layout(n_plates=n_plates, n_treatments=n_treatments, n_controls=n_controls)
    look = dict(zip(sorted(wells[GENE].dropna().unique()), np.eye(DIM), strict=False))
    signal = np.stack([look.get(gene, np.zeros(DIM)) for gene in wells[GENE]])
    dims = [f"{EMBEDDING_PREFIX}{n:02d}" for n in range(DIM)]
    matrix = pd.DataFrame(normalize(signal + 0.05 * noise(wells, dim=DIM)), columns=dims)
    return pd.concat([wells.assign(**{ENTITY: wells[BROAD_SAMPLE]}), matrix], axis=1)


def strip(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.random((32, 32)), 2) for _ in CHANNELS])
    return encode_strip((fields - fields.min()) / (fields.max() - fields.min()))


def explored(table: pd.DataFrame | None = None, names: dict[str, str] | None = None) -> ExploreData:
    """Two plates of two sites a well; ``names`` of some treatments."""
    table = profiles() if table is None else table
    treatments = table[[MODALITY, BROAD_SAMPLE, GENE]].drop_duplicates(BROAD_SAMPLE)
    treatments = treatments.reindex(columns=TREATMENT_COLUMNS).reset_index(drop=True)
    own = treatments[BROAD_SAMPLE].map(names or {}).astype("str")
    treatments[PERT_INAME] = own.fillna("drug " + treatments[BROAD_SAMPLE].str[9:])
    treatments[MOA_LIST] = pd.Series(None, index=treatments.index, dtype="str").mask(
        treatments[GENE].isin(["G0", "G1"]), "HDAC inhibitor"
    )
    dims = [name for name in table if name.startswith(EMBEDDING_PREFIX)]
    texts = pd.DataFrame(np.eye(DIM)[:3], columns=dims).assign(
        **{PROMPT: ["words of G0", HARMFUL[0], HARMFUL[3]], MODALITY: "compound", SUBSET: "train"}
    )
    index = SearchIndex.of_profiles(table, treatments, texts)
    pictures = {
        site_key(plate, well, site): (lambda seed=seed: strip(seed % 7))
        for seed, (plate, well) in enumerate(table[[PLATE, WELL]].itertuples(index=False))
        for site in (1, 2)
    }
    keys = pd.MultiIndex.from_frame(table[[PLATE, WELL]])
    rng = np.random.default_rng(0)
    measured = pd.DataFrame({"nuclei": rng.integers(20, 200, len(table)) * 1.0}, index=keys)
    cells = WellPictures(pictures, index.wells, CHANNELS)
    return ExploreData("0123456789abcdef", index, embed_text, cells, measured)


def embed_text(text: str) -> np.ndarray:
    return np.eye(DIM, dtype=np.float32)[0 if "HDAC" in text else 5]


def harmful() -> ExploreData:
    """Every column of text holds something that means harm."""
    table = profiles(n_treatments=14)
    renamed = {f"compound-{n}": text for n, text in enumerate(HARMFUL)}
    table[BROAD_SAMPLE] = table[BROAD_SAMPLE].replace(renamed)
    table[ENTITY] = table[BROAD_SAMPLE]
    table[PLATE] = table[PLATE].replace({"compound0": HARMFUL[0], "compound1": HARMFUL[2]})
    table[CONDITION] = table[CONDITION].replace({"compound|U2OS": f"compound|{HARMFUL[1]}"})
    table[GENE] = table[GENE].replace({"G0": HARMFUL[1], "G1": HARMFUL[0]})
    table[SUBSET] = table[SUBSET].replace({"train": HARMFUL[1]})
    table[ROLE] = table[ROLE].where(table[ROLE] == "negcon", "trt")
    return explored(table, {text: f"name {text}" for text in HARMFUL})
