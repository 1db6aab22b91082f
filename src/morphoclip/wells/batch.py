"""Packed sites of wells: no padding, an offset table instead."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class WellBatch:
    """Sites of B wells, one after the other.

    Attributes:
        tokens: ``(S, C, D)``, S = all sites of all wells.
        offsets: ``(B + 1,)`` int64: well b owns rows ``offsets[b]`` to ``offsets[b + 1]``.
    """

    tokens: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_sites(self) -> Tensor:
        """Sites per well, ``(B,)``."""
        return self.offsets.diff()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sites, channels, dimensions."""
        n_sites, n_channels, dim = self.tokens.shape
        return n_sites, n_channels, dim

    @property
    def nbytes(self) -> int:
        """Of the tokens."""
        return self.tokens.nbytes

    def select(self, wells: Tensor) -> "WellBatch":
        """These wells ``(B',)``, in this order."""
        return self.read(wells)

    def read(self, wells: Tensor, kept: Tensor | None = None) -> "WellBatch":
        """The batch of these wells ``(B',)``, in this order.

        Args:
            wells: Row numbers.
            kept: Which of all sites to take, ``(S,)`` bool; all by default.
        """
        rows, offsets = rows_of_wells(self.offsets, wells, kept)
        return WellBatch(self.tokens.index_select(0, rows), offsets)

    def to(self, device: str) -> "WellBatch":
        """The batch on another device."""
        return WellBatch(self.tokens.to(device), self.offsets.to(device))

    def means(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Mean over the sites of each well, ``(B, C, D)``."""
        n_sites = self.n_sites
        well = torch.arange(len(self), device=self.tokens.device).repeat_interleave(n_sites)
        sums = torch.zeros(
            len(self), *self.tokens.shape[1:], dtype=dtype, device=self.tokens.device
        )
        return sums.index_add_(0, well, self.tokens.to(dtype)) / n_sites.view(-1, 1, 1)

    def padded(self) -> tuple[Tensor, Tensor]:
        """The spec's features ``(B, max_sites, C, D)`` and ``site_mask`` ``(B, max_sites)``."""
        most = int(self.n_sites.max())
        site_mask = torch.arange(most, device=self.offsets.device) < self.n_sites.unsqueeze(1)
        features = self.tokens.new_zeros(len(self), most, *self.tokens.shape[1:])
        features[site_mask] = self.tokens
        return features, site_mask


def mapped_tokens(path: Path) -> Tensor:
    """Tokens ``(S, C, D)`` of an ``.npy`` file, of which several processes share the memory."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def rows_of_wells(
    offsets: Tensor, wells: Tensor, kept: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Rows of the sites of these wells ``(S',)``, one well after the other, and their offsets.

    Args:
        offsets: Of all wells, ``(B + 1,)``.
        wells: Row numbers ``(B',)``.
        kept: Which of all sites to take, ``(S,)`` bool; all by default.
    """
    n_sites = offsets.diff()[wells]
    new_offsets = torch.cat([n_sites.new_zeros(1), n_sites.cumsum(0)])
    within = torch.arange(int(new_offsets[-1]), device=offsets.device)
    rows = within + (offsets[wells] - new_offsets[:-1]).repeat_interleave(n_sites)
    if kept is None:
        return rows, new_offsets
    taken = kept.to(rows.device)[rows]
    well = torch.arange(len(wells), device=rows.device).repeat_interleave(n_sites)
    n_sites = torch.bincount(well[taken], minlength=len(wells))
    return rows[taken], torch.cat([n_sites.new_zeros(1), n_sites.cumsum(0)])
