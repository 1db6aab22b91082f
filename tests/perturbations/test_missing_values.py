"""What means "missing", and what is said of it."""

import pandas as pd
import pytest

from morphoclip.perturbations.missing_values import with_missing


@pytest.mark.parametrize("word", ["NA", "NaN", "nan", "None", "null", "N/A", "#N/A", "<NA>"])
def test_a_word_that_a_program_wrote_is_said_and_counted(word: str, caplog) -> None:
    table = pd.DataFrame({"well_position": ["A01", "A02", "A03"], "broad_sample": ["", word, word]})
    found = with_missing(table, "platemap x")
    assert found["broad_sample"].isna().all()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"platemap x: 2 cell(s) of the column broad_sample hold {word!r}, e.g. line 3; they are "
        "read as blank"
    )


def test_a_blank_is_meant(caplog) -> None:
    table = pd.DataFrame(
        {"broad_sample": ["", " ", "empty", None], "gene": ["A", "", "empty", "B"]}
    )
    found = with_missing(table, "x")
    assert found["broad_sample"].isna().all()
    assert found["gene"].tolist()[0] == "A"
    assert not caplog.records
