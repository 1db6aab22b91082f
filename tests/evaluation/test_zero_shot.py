"""Mechanisms by their words: who is held out, and what a ranking is worth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_training import MODEL, QUICK, SilentLog, wells

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    ENTITY,
    MOA_LIST,
    MODALITY,
    PROMPT,
    PROMPT_DIGEST,
    SMILES,
    SUBSET,
    TIMEPOINT,
)
from morphoclip.errors import InputError
from morphoclip.evaluation.fold_data import FoldData
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.evaluation.zero_shot import (
    ZeroShotConfig,
    held_out_mechanisms,
    precision_of_first,
    rank_by_words,
    summarise,
)
from morphoclip.metrics.bootstrap import Bootstrap
from morphoclip.schemas.evaluation import ZERO_SHOT, ZERO_SHOT_SUMMARY
from morphoclip.splits.config import SplitConfig
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.members import train_members

N = 60
DATA = wells(prompts=N)
TABLE = DATA.table.assign(
    **{
        BROAD_SAMPLE: "s" + DATA.table[PROMPT_DIGEST],
        ENTITY: "e" + DATA.table[PROMPT_DIGEST],
        CELL_TYPE: None,
        TIMEPOINT: None,
    }
)
# eight mechanisms of four compounds, one compound in two of them, one mechanism of two
MECHANISMS = [f"m{n // 4}" for n in range(32)] + ["rare", "rare"] + [None] * (N - 34)
MECHANISMS[0] = "m0|m7"
PERTURBATIONS = pd.DataFrame(
    {
        MODALITY: "compound",
        BROAD_SAMPLE: [f"s{n:02d}" for n in range(N)],
        MOA_LIST: MECHANISMS,
        SMILES: None,
    }
)
PROMPTS = pd.DataFrame(
    {PROMPT_DIGEST: [f"{n:02d}" for n in range(N)], PROMPT: [f"number {n}" for n in range(N)]}
)
FOUR = ZeroShotConfig(folds=4)


def folds(config: ZeroShotConfig = FOUR, table: pd.DataFrame = TABLE) -> list:
    data = FoldData(DATA, table, PERTURBATIONS, PROMPTS)
    return list(held_out_mechanisms(data, SplitConfig(), config))


def test_every_mechanism_is_held_out_once_with_all_its_compounds() -> None:
    held_out = folds()
    asked = [name for fold in held_out for name in fold.mechanisms]
    assert sorted(asked) == [f"m{n}" for n in range(8)], "the rare one is not asked for"
    of = PERTURBATIONS.set_index(BROAD_SAMPLE)[MOA_LIST].str.split("|")
    for fold in held_out:
        tested = fold.manifest[fold.manifest[SUBSET] == "test"]
        learnt = fold.manifest[fold.manifest[SUBSET].isin(["train", "validation"])]
        known = {name for names in of[learnt[BROAD_SAMPLE]].dropna() for name in names}
        assert not known & set(fold.mechanisms)
        assert not set(tested[ENTITY]) & set(learnt[ENTITY])
        of_tested = tested[BROAD_SAMPLE].map(of)
        distractors = of_tested.isna() | (of_tested.str[0] == "rare")
        assert distractors.sum() >= 12, "two wells each of a quarter of the others"
        assert {"train", "validation"} == set(learnt[SUBSET])


def test_too_few_mechanisms_are_a_sentence() -> None:
    with pytest.raises(InputError, match=r"8 mechanism\(s\) of action have 3 compounds or more"):
        folds(ZeroShotConfig(folds=9))
    with pytest.raises(InputError, match=r"1 mechanism\(s\) of action have 5 compounds"):
        folds(ZeroShotConfig(folds=2, fewest=5))


def ranked(tmp_path, words: torch.Tensor) -> pd.DataFrame:
    held_out = folds()[0]
    model = MODEL.model_copy(update={"closed_form": "kernel_cca"})
    data = replace(DATA, table=TABLE)
    store = CheckpointStore(tmp_path)
    one = QUICK.model_copy(update={"epochs": 1})
    trained = train_members(data, held_out.manifest, model, one, store, SilentLog()).model
    given = FoldData(data, TABLE, PERTURBATIONS, PROMPTS)
    return rank_by_words(
        held_out, given, trained, words, batch_size=16, device="cpu", seed=0
    ).assign(fold=0, seed=0)


def test_the_table_has_each_method_and_mechanism_beside_chance(tmp_path) -> None:
    words = torch.randn(2, 10, generator=torch.Generator().manual_seed(3))
    rows = ZERO_SHOT.validate(ranked(tmp_path, words)[list(ZERO_SHOT.columns)])
    assert set(rows["method"]) == {
        MODEL_METHOD, "kernel_ridge", "two_way_kernel_ridge", "kernel_cca", "permuted_text"
    }  # fmt: skip
    assert (rows["n_compounds"] >= 4).all()
    assert (rows["base_rate"] == rows["n_compounds"] / rows["n_candidates"]).all()
    assert rows["average_precision_chance"].between(0, 1).all()
    summary = ZERO_SHOT_SUMMARY.validate(summarise(rows, Bootstrap(200, 0)))
    of_model = summary[summary["method"] == MODEL_METHOD]
    assert (of_model["lead_of_model"] == 0).all()
    means = rows.groupby(["method", "mechanism"])["average_precision"].mean()
    expected = means.groupby("method").mean()
    found = summary[summary["metric"] == "average_precision"].set_index("method")["value"]
    pd.testing.assert_series_equal(found.sort_index(), expected, check_names=False)


def test_precision_of_the_first_five_counts_ties_as_expected() -> None:
    true = np.array([[True, True, False, False, False, False, True, False]])
    ordered = np.arange(8.0)[None, ::-1]
    assert precision_of_first(ordered, true) == pytest.approx([2 / 5])
    assert precision_of_first(np.zeros((1, 8)), true) == pytest.approx([3 / 8])
    half = np.array([[9, 1, 1, 1, 1, 1, 1, 0]])  # four of six tied places, two of six are true
    assert precision_of_first(half, true) == pytest.approx([(1 + 4 * 2 / 6) / 5])
    assert precision_of_first(ordered[:, :3], true[:, :3]) == pytest.approx([2 / 3])
