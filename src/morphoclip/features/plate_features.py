"""The packed features of one plate, any number of channels and dimensions."""

from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.fingerprint import Fingerprint
from morphoclip.well_names import well_name, well_position


@dataclass(frozen=True)
class PlateFeatures:
    """CLS features of a plate's sites.

    Attributes:
        plate: Barcode.
        tokens: ``(S, C, D)`` float16.
        positions: ``(S, 3)`` int16: row, column, site, each from 1.
        fingerprint: What they were made with.
    """

    plate: str
    tokens: Tensor
    positions: Tensor
    fingerprint: Fingerprint

    @classmethod
    def pack(
        cls, plate: str, sites: list[tuple[str, int]], tokens: Tensor, fingerprint: Fingerprint
    ) -> Self:
        """Pack ``(S, C, D)`` tokens of ``(well, site)`` pairs.

        Raises:
            ValueError: A value is not finite, or too large for half precision.
        """
        packed = tokens.to(torch.float16)
        if not torch.isfinite(packed).all():
            raise ValueError(f"plate {plate} has features that are not finite in half precision")
        positions = torch.tensor(
            [[*well_position(well), site] for well, site in sites], dtype=torch.int16
        ).reshape(-1, 3)
        return cls(plate, packed.clone(), positions, dict(fingerprint))

    @property
    def sites(self) -> pd.DataFrame:
        """Plate, well and site of every row of ``tokens``."""
        rows = self.positions.tolist()
        return pd.DataFrame(
            {
                PLATE: self.plate,
                WELL: [well_name(row, col) for row, col, _ in rows],
                SITE: [site for _, _, site in rows],
            }
        )

    def equals(self, other: Self) -> bool:
        """Whether sites, numbers and fingerprint are the same to the bit."""
        return (
            self.fingerprint == other.fingerprint
            and torch.equal(self.positions, other.positions)
            and torch.equal(self.tokens, other.tokens)
        )

    def to_payload(self) -> dict[str, Any]:
        """Tensors and text only: what ``weights_only=True`` reads back."""
        return {
            "plate": self.plate,
            "tokens": self.tokens,
            "positions": self.positions,
            "fingerprint": dict(self.fingerprint),
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_payload`."""
        return cls(**payload)
