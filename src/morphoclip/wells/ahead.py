"""Batches of wells one after the other, the next read while one is worked on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from morphoclip.wells.batch import WellBatch
from morphoclip.wells.sites_on_disk import SitesOnDisk

_WELLS_AT_ONCE = 512

Take = Callable[[Tensor, str], WellBatch]
"""Of some wells of a batch ``(B',)``, by their rows among all, the sites on a device."""


def read_ahead(
    sites: WellBatch | SitesOnDisk, batches: Sequence[Tensor], kept: Tensor | None = None
) -> Iterator[Take]:
    """For each batch of wells ``(B',)`` what gives its sites, or some wells' of it.

    ``kept`` ``(S,)`` bool says which of all sites to take; all by default.
    """
    if not isinstance(sites, SitesOnDisk):
        where = sites.offsets.device

        def from_memory(rows: Tensor, device: str) -> WellBatch:
            return sites.read(rows.to(where), kept).to(device)

        for _ in batches:
            yield from_memory
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as thread:
        coming = [thread.submit(sites.read, rows, kept) for rows in batches[:1]]
        for number, rows in enumerate(batches):
            batch = coming.pop().result()
            if number + 1 < len(batches):
                coming.append(thread.submit(sites.read, batches[number + 1], kept))
            yield _part_of(rows, batch)


def write_tokens(sites: WellBatch | SitesOnDisk, path: Path) -> None:
    """Write all tokens as one ``.npy`` file, for `mapped_tokens`."""
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=sites.shape)
    batches = torch.arange(len(sites)).split(_WELLS_AT_ONCE)
    for rows, take in zip(batches, read_ahead(sites, batches), strict=True):
        tokens = take(rows, "cpu").tokens
        start = int(sites.offsets[rows[0]])
        file[start : start + len(tokens)] = tokens.numpy()
    file.flush()


def _part_of(rows: Tensor, batch: WellBatch) -> Take:
    in_order, places = rows.sort()

    def part(wanted: Tensor, device: str) -> WellBatch:
        if torch.equal(wanted, rows):
            return batch.to(device)
        return batch.read(places[torch.searchsorted(in_order, wanted)]).to(device)

    return part
