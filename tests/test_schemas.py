"""Tables are checked when they are saved and loaded: kinds of column, by plate, with embedding."""

import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from morphoclip.columns import (
    MODEL,
    NORMALISED_BY,
    PLATE,
    PROMPT_DIGEST,
    QUALITY,
    REFERENCE,
    SUBSET,
    WELL,
    Role,
)
from morphoclip.errors import InputError
from morphoclip.schemas.column_types import ByPlate, WithEmbedding, count, number, table, text
from morphoclip.schemas.ingestion import WELL_INDEX
from morphoclip.schemas.profiles import EMBEDDED_PLATES, PROMPT_EMBEDDINGS, WELL_PROFILES

REFUSED = (SchemaError, SchemaErrors)
SCHEMA = table(
    {PLATE: text(), "role": text(nullable=True, among=Role), "n": count(), "value": number()},
    unique=[PLATE],
)
ROWS = pd.DataFrame({PLATE: ["P", "Q"], "role": ["trt", None], "n": [1.0, 0.0], "value": [1, 2]})


def test_types_are_coerced_and_values_kept() -> None:
    checked = SCHEMA.validate(ROWS)
    assert [str(dtype) for dtype in checked.dtypes[["n", "value"]]] == ["int64", "float64"]
    assert checked[[PLATE, "n", "value"]].to_numpy().tolist() == [["P", 1, 1.0], ["Q", 0, 2.0]]
    assert checked["role"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        ROWS.assign(n=[-1, 0]),
        ROWS.assign(role="treated"),
        ROWS.assign(value=[1.0, None]),
        ROWS.assign(value="much"),
        ROWS.assign(**{PLATE: "P"}),
        ROWS.assign(**{PLATE: ["P", None]}),
        ROWS.assign(more=1),
        ROWS.drop(columns="n"),
        ROWS[["role", PLATE, "n", "value"]],
    ],
    ids=["negative", "unknown word", "missing", "no number", "twice", "nameless",
         "column more", "column less", "order"],
)  # fmt: skip
def test_a_table_of_other_values_or_columns_is_refused(wrong: pd.DataFrame) -> None:
    with pytest.raises(REFUSED):
        SCHEMA.validate(wrong)


def test_tables_by_plate_are_each_checked_and_coerced() -> None:
    by_plate = {"P": ROWS[:1], "Q": ROWS[1:], "R": ROWS[:0]}
    checked = ByPlate(SCHEMA).validate(by_plate)
    assert list(checked) == ["P", "Q", "R"]
    for plate, rows in by_plate.items():
        pd.testing.assert_frame_equal(checked[plate], SCHEMA.validate(rows))
    with pytest.raises(REFUSED, match="greater_than_or_equal_to"):
        ByPlate(SCHEMA).validate({"P": ROWS, "Q": ROWS.assign(n=-1)})


def test_tables_by_plate_are_loaded_as_one_or_as_none() -> None:
    validator = ByPlate(SCHEMA)
    pd.testing.assert_frame_equal(validator.validate(ROWS), SCHEMA.validate(ROWS))
    assert validator.validate(None) is None
    assert validator.validate({}) == {}
    with pytest.raises(REFUSED, match="more"):
        validator.validate(ROWS.assign(more=1))


def embedded(*values: object, dtype: str = "float64") -> pd.DataFrame:
    """Two prompts with an embedding of these dimensions."""
    columns = {f"embedding_{n:03d}": pd.Series([v, 0], dtype=dtype) for n, v in enumerate(values)}
    return pd.DataFrame({PROMPT_DIGEST: ["a", "b"], **columns})


def test_an_embedding_becomes_float32_behind_the_coerced_metadata() -> None:
    validator = WithEmbedding(table({"n": count(), PROMPT_DIGEST: text()}))
    mixed = embedded(0.1, 2.0).assign(n=[3.0, 4.0])
    checked = validator.validate(mixed[["embedding_000", "n", PROMPT_DIGEST, "embedding_001"]])
    assert list(checked.columns) == ["n", PROMPT_DIGEST, "embedding_000", "embedding_001"]
    assert [str(checked[c].dtype) for c in ("n", "embedding_000")] == ["int64", "float32"]
    expected = np.array([[0.1, 2], [0, 0]], np.float32)
    np.testing.assert_array_equal(checked.filter(like="embedding").to_numpy(), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_refused_with_a_sentence(bad: float) -> None:
    with pytest.raises(InputError) as caught:
        PROMPT_EMBEDDINGS.validate(embedded(1.0, bad))
    assert str(caught.value) == (
        "a table of 2 rows has 2 embedding_* columns, and needs at least one and finite numbers in "
        "all of them; make it again"
    )


def test_a_table_without_an_embedding_is_refused_with_a_sentence() -> None:
    with pytest.raises(InputError, match=r"of 2 rows has 0 embedding_\* columns, and needs at"):
        PROMPT_EMBEDDINGS.validate(embedded())


def test_metadata_beside_an_embedding_are_checked() -> None:
    with pytest.raises(REFUSED, match=PROMPT_DIGEST):
        PROMPT_EMBEDDINGS.validate(embedded(1.0).rename(columns={PROMPT_DIGEST: "digest"}))
    with pytest.raises(REFUSED, match="not unique"):
        PROMPT_EMBEDDINGS.validate(embedded(1.0).assign(**{PROMPT_DIGEST: "a"}))


WELL_ROW = dict.fromkeys(WELL_INDEX.columns) | {
    PLATE: "P", WELL: "A01", "Metadata_role": "trt", "Metadata_modality": "orf",
    "Metadata_condition": "orf", "Metadata_n_sites": 9, PROMPT_DIGEST: "a",
}  # fmt: skip
MADE_BY = {REFERENCE: False, QUALITY: None, MODEL: "abc"}
BY_PLATE = {NORMALISED_BY: "negcon_zscore"}


def profile(**metadata: object) -> pd.DataFrame:
    return pd.DataFrame([WELL_ROW | metadata | {"embedding_0": 0.5}])


def of_new_plate(**metadata: object) -> pd.DataFrame:
    return profile(**metadata, **MADE_BY, **BY_PLATE).drop(columns=PROMPT_DIGEST)


def test_profiles_have_the_columns_of_wells_then_a_subset_and_the_model() -> None:
    row = profile(**{SUBSET: "train"}, **MADE_BY)
    checked = WELL_PROFILES.validate(row)
    assert list(checked.columns) == list(row.columns)
    assert checked[[SUBSET, MODEL, "Metadata_n_sites"]].to_numpy().tolist() == [["train", "abc", 9]]
    assert EMBEDDED_PLATES.validate(of_new_plate())[MODEL].tolist() == ["abc"]


def test_wells_outside_the_split_have_no_subset() -> None:
    assert WELL_PROFILES.validate(profile(**{SUBSET: None}, **MADE_BY))[SUBSET].isna().all()
    with pytest.raises(REFUSED, match="holdout"):
        WELL_PROFILES.validate(profile(**{SUBSET: "holdout"}, **MADE_BY))
    with pytest.raises(REFUSED, match=SUBSET):
        EMBEDDED_PLATES.validate(of_new_plate(**{SUBSET: "train"}))


def test_a_well_has_one_profile() -> None:
    twice = pd.concat([of_new_plate()] * 2, ignore_index=True)
    with pytest.raises(REFUSED, match="not unique"):
        EMBEDDED_PLATES.validate(twice)
    twice.loc[1, WELL] = "A02"
    assert EMBEDDED_PLATES.validate(twice)[WELL].tolist() == ["A01", "A02"]
