"""Published profiles as plate features."""

import numpy as np
import pandas as pd
import pytest
import torch

from morphoclip.errors import InputError
from morphoclip.features.published_profiles import pack_profiles


def profile(**columns: list[float]) -> pd.DataFrame:
    wells = [f"A{n:02d}" for n in range(1, 1 + len(next(iter(columns.values()))))]
    return pd.DataFrame({"Metadata_Well": wells, "Metadata_pubchem_cid": 7.0} | columns)


ONE = profile(a=[0.0, 1], b=[np.nan, 2], c=[3.0, 4])


def test_columns_that_are_finite_on_all_plates_go_through_asinh() -> None:
    packed = pack_profiles({"P": ONE, "Q": profile(c=[1.0, 2], a=[3.0, 4])})
    expected = np.arcsinh([[0, 3], [1, 4]])
    torch.testing.assert_close(
        packed["P"].tokens[:, 0].double(), torch.tensor(expected), atol=2e-3, rtol=0
    )
    assert packed["Q"].tokens.shape == (2, 1, 2)
    assert packed["P"].fingerprint == packed["Q"].fingerprint


def test_a_well_without_any_value_is_left_out_and_costs_no_column() -> None:
    empty = profile(a=[1.0, np.nan], c=[2.0, np.nan])
    packed = pack_profiles({"P": empty})["P"]
    assert packed.sites["Metadata_Well"].tolist() == ["A01"]
    assert packed.tokens.shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ONE.drop(columns="Metadata_Well"), "table of plate P lacks the column.s. Metadata_Well"),
        (ONE.assign(Metadata_Well="a1"), "plate P lists 1 well.s. more than once: A01; keep one"),
        (profile(a=[1, np.nan], b=[np.nan, 1]), "no feature column is finite on all 1 plates"),
    ],
)
def test_other_tables_are_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack_profiles({"P": table})
