"""Batches of wells for one epoch.

The order depends on seed and epoch alone, so a resumed run repeats it. A last batch of one well is
left out: it has no negatives.
"""

from typing import Literal, assert_never

import numpy as np
import torch
from torch import Tensor

Sampler = Literal["random", "perturbation_aware", "row_aware"]


def epoch_batches(
    rows: Tensor,
    perturbations: Tensor,
    plates: Tensor,
    plate_rows: Tensor,
    *,
    sampler: Sampler,
    batch_size: int,
    seed: int,
) -> list[Tensor]:
    """Split the wells of an epoch into batches; every well is in one of them.

    ``random`` shuffles wells. ``perturbation_aware`` shuffles pairs of wells of one perturbation,
    of two plates where it has them: what replicate alignment and cross-well alignment need.
    ``row_aware`` fills batches row by row of the plates, so that most of what a well is told from
    lies in its own row, and the row gives nothing away.

    Args:
        rows: The wells to draw, ``(N,)``.
        perturbations: Code of the perturbation of every well, ``(B,)``.
        plates: Code of the plate of every well, ``(B,)``.
        plate_rows: Row of every well on its plate, ``(B,)``.
        sampler: How to shuffle.
        batch_size: Wells; a pair is not torn apart, so an odd size holds one well less.
        seed: Of this epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = rows[torch.randperm(len(rows), generator=generator)]
    match sampler:
        case "perturbation_aware":
            groups = _pairs(shuffled, perturbations, plates)
            order = torch.randperm(len(groups), generator=generator).tolist()
            batches = _fill([groups[position] for position in order], batch_size)
        case "row_aware":
            draw = torch.randperm(int(plate_rows.max()) + 1, generator=generator)
            by_row = torch.argsort(draw[plate_rows[shuffled]], stable=True)
            batches = list(shuffled[by_row].split(batch_size))
        case "random":
            batches = list(shuffled.split(batch_size))
        case _:
            assert_never(sampler)
    return [batch for batch in batches if len(batch) > 1]


def sites_of_epoch(offsets: Tensor, per_well: int | None, *, seed: int) -> Tensor | None:
    """Which sites ``(S,)`` bool an epoch takes: ``per_well`` of each well, drawn by the seed.

    None where all are taken. Depends on neither batches nor processes.

    Args:
        offsets: Of all wells, ``(B + 1,)``.
        per_well: Sites; wells that have fewer give all of theirs.
        seed: Of this epoch.
    """
    if per_well is None:
        return None
    counts = offsets.cpu().diff()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(int(counts.sum()), generator=generator, dtype=torch.float64)
    well = torch.arange(len(counts)).repeat_interleave(counts)
    order = torch.argsort(well + drawn)  # by well, and within it by chance
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return place - offsets.cpu()[:-1].repeat_interleave(counts) < per_well


def epoch_seed(seed: int, epoch: int, *purpose: int) -> int:
    """A seed of its own for each epoch, and within it for each purpose."""
    return int(np.random.SeedSequence([seed, epoch, *purpose]).generate_state(1)[0])


def _pairs(rows: Tensor, perturbations: Tensor, plates: Tensor) -> list[list[int]]:
    """Wells of one perturbation two by two; a lone well where the number is odd."""
    wells_of: dict[int, list[int]] = {}
    for well in rows.tolist():
        wells_of.setdefault(int(perturbations[well]), []).append(well)
    groups = []
    for wells in wells_of.values():
        left = list(wells)
        while left:
            first = left.pop(0)
            others = [w for w in left if plates[w] != plates[first]] or left
            partner = others[:1]
            groups.append([first, *partner])
            left = [w for w in left if w not in partner]
    return groups


def _fill(groups: list[list[int]], batch_size: int) -> list[Tensor]:
    batches: list[list[int]] = [[]]
    for group in groups:
        if batches[-1] and len(batches[-1]) + len(group) > batch_size:
            batches.append([])
        batches[-1] += group
    return [torch.tensor(batch) for batch in batches]
