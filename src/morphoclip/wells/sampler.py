"""Batches of wells for one epoch.

The order depends on seed and epoch alone, so a resumed run repeats it. A last batch of one well is
left out: it has no negatives.
"""

import heapq
from collections.abc import Iterator
from typing import Literal, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor

Sampler = Literal["random", "perturbation_aware", "row_aware", "plate_blocks"]


class DrawnBy(NamedTuple):
    """What wells are drawn by: codes of each well's perturbation and plate, and its row there.

    ``(B,)`` each, of all wells.
    """

    perturbations: Tensor
    plates: Tensor
    plate_rows: Tensor


def epoch_batches(
    rows: Tensor,
    drawn_by: DrawnBy,
    *,
    sampler: Sampler,
    batch_size: int,
    seed: int,
    plates_per_block: int = 64,
) -> list[Tensor]:
    """Split the wells of an epoch into batches; every well is in one of them.

    ``random`` shuffles wells. ``perturbation_aware`` shuffles pairs of wells of one perturbation,
    of two plates where it has them: what replicate alignment and cross-well alignment need.
    ``row_aware`` fills batches row by row of the plates, so that most of what a well is told from
    lies in its own row, and the row gives nothing away. ``plate_blocks`` shuffles plates, and then
    the wells of so many plates at a time: disks that seek slowly read a few files at a time.

    Args:
        rows: The wells to draw, ``(N,)``.
        drawn_by: Labels of all wells.
        sampler: How to shuffle.
        batch_size: Wells; a pair is not torn apart, so an odd size holds one well less.
        seed: Of this epoch.
        plates_per_block: Of ``plate_blocks``.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = rows[torch.randperm(len(rows), generator=generator)]
    match sampler:
        case "perturbation_aware":
            groups = list(_pairs(shuffled, drawn_by.perturbations, drawn_by.plates))
            order = torch.randperm(len(groups), generator=generator).tolist()
            batches = _fill([groups[position] for position in order], batch_size)
        case "row_aware":
            plate_rows = drawn_by.plate_rows
            draw = torch.randperm(int(plate_rows.max()) + 1, generator=generator)
            by_row = torch.argsort(draw[plate_rows[shuffled]], stable=True)
            batches = list(shuffled[by_row].split(batch_size))
        case "plate_blocks":
            plates = drawn_by.plates
            draw = torch.randperm(int(plates.max()) + 1, generator=generator)
            by_block = torch.argsort(draw[plates[shuffled]] // plates_per_block, stable=True)
            batches = list(shuffled[by_block].split(batch_size))
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


def _pairs(rows: Tensor, perturbations: Tensor, plates: Tensor) -> Iterator[list[int]]:
    """Wells of one perturbation two by two; a lone well where the number is odd.

    The first well that is left goes with the first of another plate, if there is one.
    """
    wells_of: dict[int, dict[int, list[tuple[int, int]]]] = {}
    labels = zip(rows.tolist(), perturbations[rows].tolist(), plates[rows].tolist(), strict=True)
    for order, (well, perturbation, plate) in enumerate(labels):
        wells_of.setdefault(perturbation, {}).setdefault(plate, []).append((order, well))
    for by_plate in wells_of.values():
        queues = [iter(wells) for wells in by_plate.values()]
        first = [(*next(queue), number) for number, queue in enumerate(queues)]
        heapq.heapify(first)
        while first:
            _, well, number = heapq.heappop(first)
            own = next(queues[number], None)
            if first:
                _, partner, other = first[0]
                following = next(queues[other], None)
                if following is None:
                    heapq.heappop(first)
                else:
                    heapq.heapreplace(first, (*following, other))
                yield [well, partner]
            elif own is not None:
                yield [well, own[1]]
                own = next(queues[number], None)
            else:
                yield [well]
            if own is not None:
                heapq.heappush(first, (*own, number))


def _fill(groups: list[list[int]], batch_size: int) -> list[Tensor]:
    batches: list[list[int]] = [[]]
    for group in groups:
        if batches[-1] and len(batches[-1]) + len(group) > batch_size:
            batches.append([])
        batches[-1] += group
    return [torch.tensor(batch) for batch in batches]
