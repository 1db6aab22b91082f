"""Sites whose tokens stay in the plates' files until a batch asks for them.

Read with ``pread``, which is what a memory map would do, by the system's cache of pages, with two
differences: pages that were read do not count as this process's memory, and a file that became
shorter ends in a sentence.
"""

import os
import resource
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morphoclip.errors import InputError, example_of
from morphoclip.files import shown_path
from morphoclip.loaders import Extent, file_stamp
from morphoclip.plate_correction import SETTING, Correction
from morphoclip.wells.batch import WellBatch, rows_of_wells

_NUMBERS_AT_ONCE = 2**18
"""Numbers that are normalised at a time: in double precision they stay in a processor's cache."""

_WELLS_AT_ONCE = 512
_OPEN_AT_MOST = 4096
_MAGNITUDE, _INFINITE = 0x7FFF, 0x7C00
"""Bits of half precision without the sign, and those of infinity; what is no number has more."""


@dataclass(frozen=True)
class SitesOnDisk:
    """Sites of B wells of Q plates.

    Attributes:
        files: Where each plate's tokens ``(S_q, C, D)`` begin.
        plates: Barcodes, for messages.
        correction: What each plate's tokens are less, stacked ``(Q, ...)``.
        plate_of_well: ``(B,)``.
        place_of_well: Row and column on the plate, ``(B, 2)``.
        rows: Of each site in its plate's tokens, ``(S,)``.
        offsets: ``(B + 1,)``: well b owns sites ``offsets[b]`` to ``offsets[b + 1]``.
        site_shape: C and D.
    """

    files: tuple[Extent, ...]
    plates: tuple[str, ...]
    correction: Correction
    plate_of_well: Tensor
    place_of_well: Tensor
    rows: Tensor
    offsets: Tensor
    site_shape: tuple[int, int]
    _handles: "_Handles" = field(default_factory=lambda: _Handles(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_sites(self) -> Tensor:
        """Sites per well, ``(B,)``."""
        return self.offsets.diff()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sites, channels, dimensions."""
        return len(self.rows), *self.site_shape

    @property
    def nbytes(self) -> int:
        """Of the tokens, would they be read."""
        return 2 * int(np.prod(self.shape))

    def to(self, _: str) -> "SitesOnDisk":
        """Themselves: tokens go to a device when they are read."""
        return self

    def select(self, wells: Tensor) -> "SitesOnDisk":
        """These wells ``(B',)``, in this order; nothing is read."""
        sites, offsets = rows_of_wells(self.offsets, wells)
        return replace(
            self,
            plate_of_well=self.plate_of_well[wells],
            place_of_well=self.place_of_well[wells],
            rows=self.rows[sites],
            offsets=offsets,
        )

    def read(self, wells: Tensor, kept: Tensor | None = None) -> WellBatch:
        """The batch of these wells ``(B',)``, in this order, normalised; tokens float16.

        Args:
            wells: Row numbers.
            kept: Which of all sites to take, ``(S,)`` bool; all by default.

        Raises:
            InputError: A file is another than it was, or a number is none in half precision.
        """
        sites, offsets = rows_of_wells(self.offsets, wells, kept)
        n_sites = offsets.diff()
        plates = self.plate_of_well[wells].repeat_interleave(n_sites)
        raw = np.empty((len(sites), *self.site_shape), dtype=np.float16)
        self._fill(raw, plates.numpy(), self.rows[sites].long().numpy())
        tokens = torch.from_numpy(raw)
        places = self.place_of_well[wells].repeat_interleave(n_sites, dim=0)
        at_once = max(1, _NUMBERS_AT_ONCE // max(int(np.prod(self.site_shape)), 1))
        for start in range(0, len(tokens), at_once):
            some = slice(start, start + at_once)
            correction = self.correction.of_plates(plates[some])
            tokens[some] = correction.apply(tokens[some].float(), places[some]).half()
            if (raw[some].view(np.int16) & _MAGNITUDE).max() >= _INFINITE:
                odd = plates[some][~torch.isfinite(tokens[some]).flatten(1).all(1)]
                raise not_finite([self.plates[plate] for plate in odd.unique().tolist()])
        return WellBatch(tokens, offsets)

    def means(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Mean over the sites of each well, ``(B, C, D)``."""
        found = torch.empty((len(self), *self.site_shape), dtype=dtype)
        for wells in torch.arange(len(self)).split(_WELLS_AT_ONCE):
            found[wells] = self.read(wells).means(dtype)
        return found

    def _fill(self, raw: Any, plates: Any, rows: Any) -> None:
        """Read each site's numbers; sites that lie side by side in one go."""
        if not len(rows):
            return
        n_bytes = raw[0].nbytes
        follows = (np.diff(rows) == 1) & (np.diff(plates) == 0)
        starts = np.flatnonzero(np.concatenate([[True], ~follows]))
        ends = np.append(starts[1:], len(rows))
        order = np.lexsort((rows[starts], plates[starts]))
        starts, ends = starts[order], ends[order]
        runs = (starts * n_bytes, ends * n_bytes, plates[starts], rows[starts] * n_bytes)
        view = memoryview(raw).cast("B")
        for first, last, plate, at in zip(*(part.tolist() for part in runs), strict=True):
            extent = self.files[plate]
            if self._handles.read(extent, view[first:last], extent.start + at) != last - first:
                raise _changed(extent)


def not_finite(plates: list[str]) -> InputError:
    """What to say of plates whose normalised features are no numbers in half precision."""
    return InputError(
        f"plate {example_of(plates)}: features normalised by its negative controls are too large "
        "for half precision, as when controls hardly differ from each other; look at its "
        f"controls, or set {SETTING} to none"
    )


def _changed(extent: Extent) -> InputError:
    return InputError(
        f"{shown_path(extent.path)} is not the file that it was when the wells were put together: "
        "leave features alone while they are read, or set training.placement to ram"
    )


def _opened(extent: Extent) -> int:
    try:
        handle = os.open(extent.path, os.O_RDONLY)
    except OSError as error:
        raise _changed(extent) from error
    if file_stamp(os.fstat(handle)) != extent.stamp:
        os.close(handle)
        raise _changed(extent)
    return handle


class _Handles:
    """Files that stay open, as many as this process may; the others are opened for each read."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}
        self._lock = threading.Lock()
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        is_bounded = allowed != resource.RLIM_INFINITY
        self._most = min(allowed // 2, _OPEN_AT_MOST) if is_bounded else _OPEN_AT_MOST

    def read(self, extent: Extent, into: memoryview, start: int) -> int:
        """Fill with what begins at a byte of a file; how many bytes there were.

        Raises:
            InputError: The file is gone, or another one by now.
        """
        handle = self._open.get(extent.path)
        if handle is None:
            handle = self._opened(extent)
        if handle is not None:
            return os.preadv(handle, [into], start)
        handle = _opened(extent)
        try:
            return os.preadv(handle, [into], start)
        finally:
            os.close(handle)

    def _opened(self, extent: Extent) -> int | None:
        """The file, to stay open; None where there is no room for one more."""
        with self._lock:
            if extent.path not in self._open and len(self._open) < self._most:
                self._open[extent.path] = _opened(extent)
            return self._open.get(extent.path)

    def __reduce__(self) -> tuple[type["_Handles"], tuple[()]]:
        return _Handles, ()  # another process opens its own

    def __del__(self) -> None:
        for handle in self._open.values():
            os.close(handle)
