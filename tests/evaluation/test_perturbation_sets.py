"""Wells as one row per perturbation, against means taken the slow way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_training import manifest_of, wells

from morphoclip.backbones.text import HashedNgrams
from morphoclip.columns import (
    BROAD_SAMPLE,
    GENE,
    MOA_LIST,
    MODALITY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    SMILES,
    TARGET_LIST,
    WELL,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.evaluation import perturbation_sets
from morphoclip.evaluation.per_perturbation import retrieval_rows, rows_of_embeddings
from morphoclip.evaluation.perturbation_sets import PerturbationSet, mean_features, perturbation_set
from morphoclip.evaluation.profiles import SubsetEmbeddings
from morphoclip.metrics.retrieval import consensus_profiles
from morphoclip.wells.assemble import Wells

DATA = wells(prompts=6)
TABLE = DATA.table.assign(**{BROAD_SAMPLE: "s" + DATA.table[PROMPT_DIGEST]})
DATA = replace(DATA, table=TABLE)
PERTURBATIONS = pd.DataFrame(
    {
        MODALITY: "compound",
        BROAD_SAMPLE: [f"s{n:02d}" for n in range(5)],
        MOA_LIST: [None, None, "agonist|inhibitor", "inhibitor", None],
        SMILES: [None, None, "CCO", "not a structure", None],
    }
)
PROMPTS = pd.DataFrame(
    {
        PROMPT_DIGEST: [f"{n:02d}" for n in (5, 4, 3, 2, 1, 0, 3)],
        PROMPT: [f"compound number {n}" for n in (5, 4, 3, 2, 1, 0, 3)],
    }
)


def train_set(data: Wells = DATA) -> PerturbationSet:
    """Prompts 2 to 5; 0 and 1 are held out."""
    manifest = manifest_of(data, held_out=2)
    return perturbation_set(data, manifest, Subset.TRAIN, PERTURBATIONS, PROMPTS)


def sites_of_well(well: int) -> np.ndarray:
    """Its tokens, channels side by side: ``(sites, C * D)``."""
    start, end = DATA.sites.offsets[well : well + 2].tolist()
    return DATA.sites.tokens[start:end].double().numpy().reshape(end - start, -1)


def test_a_perturbation_is_the_mean_of_all_sites_of_its_wells() -> None:
    chosen = train_set()
    assert chosen.digests.tolist() == ["02", "03", "04", "05"]
    assert chosen.image.shape == (4, 36)
    for row, prompt in enumerate((2, 3, 4, 5)):
        own = np.flatnonzero(DATA.prompt_of_well.numpy() == prompt)
        sites = np.concatenate([sites_of_well(well) for well in own])
        np.testing.assert_allclose(chosen.image[row], sites.mean(axis=0))


def test_text_modality_genes_and_mechanisms_are_those_of_each_prompt() -> None:
    chosen = train_set()
    np.testing.assert_array_equal(chosen.text, DATA.text[2:].double().numpy())
    assert chosen.modality.tolist() == ["compound"] * 4
    assert chosen.genes == [{"G1"}, {"G1"}, {"G2"}, {"G2"}]
    assert chosen.mechanisms == [{"agonist", "inhibitor"}, {"inhibitor"}, set(), set()]
    assert [len(bits) for bits in chosen.structures] == [6, 0, 0, 0], "ethanol, and what is unknown"


def test_listed_targets_take_the_place_of_the_one_gene() -> None:
    listed = TABLE[TARGET_LIST].mask(TABLE[PROMPT_DIGEST] == "03", "A|B")
    table = TABLE.assign(**{TARGET_LIST: listed, GENE: TABLE[GENE].mask(TABLE[GENE] == "G2")})
    chosen = train_set(replace(DATA, table=table))
    assert chosen.genes == [{"G1"}, {"A", "B"}, set(), set()]


def test_the_order_of_wells_does_not_matter() -> None:
    backwards = DATA.select(DATA.rows_where(TABLE[PLATE].notna()).flip(0))
    one, other = train_set(), train_set(backwards)
    assert other.digests.tolist() == one.digests.tolist()
    np.testing.assert_allclose(other.image, one.image)
    np.testing.assert_array_equal(other.text, one.text)
    assert (other.genes, other.mechanisms) == (one.genes, one.mechanisms)


def test_a_subset_without_wells_is_refused() -> None:
    with pytest.raises(InputError, match="the split has no test wells"):
        perturbation_set(DATA, manifest_of(DATA), Subset.TEST, PERTURBATIONS, PROMPTS)


def test_ngrams_are_those_of_each_prompts_text() -> None:
    ngrams = train_set().ngrams
    texts = [f"compound number {n}" for n in (2, 3, 4, 5)]
    np.testing.assert_array_equal(ngrams, HashedNgrams(768).encode(texts).double().numpy())


def test_ngrams_are_left_out_only_where_the_text_features_are_these_very_ngrams() -> None:
    def ngrams(**fingerprint: str) -> object:
        return train_set(replace(DATA, text_fingerprint=fingerprint)).ngrams

    assert ngrams(**HashedNgrams(768).identity) is None
    for other in (HashedNgrams(256).identity, {"model": "hashed n-grams"}, {"model": "bert"}):
        kept = ngrams(**other)
        assert isinstance(kept, np.ndarray)
        assert kept.shape == (4, 768)


def test_mean_features_are_the_mean_of_each_wells_sites() -> None:
    means = mean_features(DATA)
    assert means.index.to_frame(index=False).equals(TABLE[[PLATE, WELL]])
    expected = [sites_of_well(well).mean(axis=0) for well in range(len(TABLE))]
    np.testing.assert_allclose(means.to_numpy(), expected, rtol=1e-5, atol=1e-6)


def test_of_many_perturbations_model_and_baselines_see_the_same(monkeypatch) -> None:
    manifest = manifest_of(DATA, held_out=2)
    everything = train_set()
    monkeypatch.setattr(perturbation_sets, "MOST_COMPARED", 3)
    some = perturbation_set(DATA, manifest, Subset.TRAIN, PERTURBATIONS, PROMPTS)
    assert some.digests.tolist() == ["02", "04", "05"]
    rows = np.isin(everything.digests, some.digests)
    np.testing.assert_allclose(some.image, everything.image[rows])
    rng = np.random.default_rng(0)
    train = DATA.select(DATA.rows_of_subset(manifest, Subset.TRAIN))
    found = SubsetEmbeddings(
        rng.standard_normal((len(train.table), 4)),
        train.prompt_of_well.numpy(),
        rng.standard_normal((4, 4)),
        train.modality_of_prompts,
        np.array(train.digests),
    )
    table = rows_of_embeddings(found)
    assert sorted(set(table[PROMPT_DIGEST])) == some.digests.tolist()
    assert (table["n_candidates"] == 3).all()
    kept = np.isin(found.digests, some.digests)
    similarity = (consensus_profiles(found.image, found.prompt_of_well, 4) @ found.text.T)[kept][
        :, kept
    ]
    literal = retrieval_rows(similarity, found.digests[kept], found.modality[kept], "model")
    pd.testing.assert_frame_equal(table, literal)
