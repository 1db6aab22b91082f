"""The reference's per-site files."""

import pytest
import torch

from morphoclip.errors import InputError
from morphoclip.features.imported import ImportConfig, pack_imported

CHANNELS = {"DNA": 5, "ER": 4}
CONFIG = ImportConfig(path="x")


def test_bloated_slices_shrink_to_their_own_numbers() -> None:
    batch = torch.randn(48, 2, 16)
    sites = {f"BR1/r{n:02d}c01f01": (lambda n=n: batch[n]) for n in (2, 1)}
    (packed,) = pack_imported(sites, CHANNELS, CONFIG)
    assert packed.plate == "BR1"
    assert packed.tokens.untyped_storage().nbytes() == 2 * 2 * 16 * 2
    torch.testing.assert_close(packed.tokens, batch[[1, 2]].half())
    assert packed.sites.iloc[0].tolist() == ["BR1", "A01", 1]
    assert packed.fingerprint["model"] == "imported per-site features"


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ({}, "names no folder"),
        ({"BR1/site1": torch.ones}, r"BR1/site1\.pt is no site's file"),
        ({"BR1/r01c01f01": lambda: {"a": 1}}, "not tensors of one shape"),
        ({"BR1/r01c01f01": lambda: torch.ones(5, 8)}, "have 5 channels and .* names 2"),
    ],
)
def test_other_files_are_refused(sites, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(pack_imported(sites, CHANNELS, CONFIG))
