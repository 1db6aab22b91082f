"""The packed features of one plate, any number of channels and dimensions."""

from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.fingerprint import Fingerprint, require_fingerprint
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
            InputError: A value is not finite, or too large for half precision.
        """
        packed = tokens.to(torch.float16)
        odd = ~torch.isfinite(packed).flatten(1).all(dim=1)
        if odd.any():
            well, site = sites[int(odd.nonzero()[0])]
            raise InputError(
                f"plate {plate} has features that are not finite in half precision (beyond 65,504, "
                f"or no numbers) in {int(odd.sum())} site(s), e.g. well {well} site {site}: look "
                "at what made them, and make them again"
            )
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
        """The inverse of `to_payload`.

        Raises:
            InputError: It holds other names, shapes, types, or numbers that are not finite.
        """
        features = cls(**payload)
        tokens, positions = features.tokens, features.positions
        if tokens.dtype != torch.float16 or tokens.ndim != 3 or not all(tokens.shape):
            raise InputError(f"tokens are {tokens.dtype} {tuple(tokens.shape)}, not (S, C, D) half")
        if positions.shape != (len(tokens), 3) or positions.dtype != torch.int16:
            raise InputError(
                f"positions are {positions.dtype} {tuple(positions.shape)} of {len(tokens)} sites"
            )
        if not torch.isfinite(tokens).all():
            raise InputError("tokens are not finite")
        if len(features.sites) != len(features.sites.drop_duplicates()):  # wells by name, too
            raise InputError("a site is there twice")
        if not isinstance(features.plate, str):
            raise InputError("the plate's name is no text")
        require_fingerprint(features.fingerprint, "fingerprint")
        return features
