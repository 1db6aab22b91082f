"""A source of text alone finds what is planted; permuted and trained anew, it falls to chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import MODEL, QUICK, SilentLog, manifest_of, wells

from morphoclip.columns import PROMPT_DIGEST, SUBSET
from morphoclip.evaluation.per_perturbation import rows_of_model
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.members import train_members
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch

N_PROMPTS, N_TESTED, N_VALIDATED = 120, 40, 10
SOURCES = ("words", "target", "structure")


def source(name: str) -> torch.Tensor:
    """What is known of each prompt: random words, one target of 12, or 4 bits of 24."""
    generator = torch.Generator().manual_seed(SOURCES.index(name))
    match name:
        case "words":
            return torch.randn(N_PROMPTS, 10, generator=generator)
        case "target":
            return torch.eye(12)[torch.randint(12, (N_PROMPTS,), generator=generator)]
        case _:
            scores = torch.rand(N_PROMPTS, 24, generator=generator)
            return (scores >= scores.topk(4, dim=1).values[:, -1:]).float()


def planted(name: str, *, permuted: bool) -> Wells:
    """Wells whose images are made of the source, which alone is given."""
    known = source(name)
    data = wells(prompts=N_PROMPTS)
    generator = torch.Generator().manual_seed(9)
    truth = known @ torch.randn(known.shape[1], 36, generator=generator)
    of_site = data.prompt_of_well.repeat_interleave(data.sites.n_sites)
    tokens = truth[of_site].view(-1, 3, 12)
    tokens = tokens + 0.1 * torch.randn(tokens.shape, generator=generator)
    digests = [f"{code:03d}" for code in data.prompt_of_well.tolist()]
    data = replace(
        data,
        table=data.table.assign(**{PROMPT_DIGEST: digests}),
        digests=tuple(f"{code:03d}" for code in range(N_PROMPTS)),
        sites=WellBatch(tokens.half(), data.sites.offsets),
    )
    if permuted:
        known = known[torch.randperm(N_PROMPTS, generator=generator)]
    if name == "words":
        return replace(data, text=known)
    names = {name: tuple(f"{n}" for n in range(known.shape[1]))}
    return replace(data, text=torch.cat([torch.zeros(N_PROMPTS, 4), known], 1), fact_names=names)


def mrr_over_chance(data: Wells, tmp_path) -> tuple[float, float]:
    """Of the held-out prompts, both directions; and the standard error of a random ranking."""
    manifest = manifest_of(data, held_out=N_TESTED + N_VALIDATED)
    tested = data.prompt_of_well.numpy() < N_TESTED
    manifest[SUBSET] = manifest[SUBSET].mask(tested, "test")
    model = MODEL.model_copy(
        update={"fact_dropout": 0.0, "fact_weight": 1.0, "channel_aggregation": "mean_pool"}
    )
    training = QUICK.model_copy(update={"epochs": 20, "batch_size": 32, "stopping": "none"})
    store = CheckpointStore(tmp_path)
    trained = train_members(data, manifest, model, training, store, SilentLog()).model
    rows = rows_of_model(trained, data, manifest, batch_size=64, device="cpu")
    assert rows[PROMPT_DIGEST].nunique() == N_TESTED
    of_random = 1 / np.arange(1, N_TESTED + 1)
    return rows["mrr"].mean() / rows["mrr_chance"].mean(), of_random.std() / (
        of_random.mean() * N_TESTED**0.5
    )


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_finds_what_is_planted_and_permuted_it_falls_to_chance(name, tmp_path) -> None:
    found, error = mrr_over_chance(planted(name, permuted=False), tmp_path / "plain")
    assert found > 1 + 4 * error
    permuted, _ = mrr_over_chance(planted(name, permuted=True), tmp_path / "permuted")
    assert abs(permuted - 1) < 3 * error
