"""Contracts of the contrastive losses: closed forms and the toy cases of the design."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from morphoclip.losses import (
    Labels,
    PromptAffinity,
    cellclip_cwcl,
    channel_similarity,
    contrastive_loss,
    cwcl,
    infonce,
    label_entropy,
    replicate_alignment,
    siglip,
)

UNIT = torch.tensor(0.0)  # exp(0) = 1
EYE2, EYE3 = torch.eye(2), torch.eye(3)
SAME_FIRST_TWO = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])


def affinity_of_all(genes: list[frozenset[str]], weight: float) -> torch.Tensor:
    return PromptAffinity(genes, weight).of(torch.arange(len(genes)))


def unit_rows(rows: int, *, seed: int, dim: int = 8) -> torch.Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_infonce_of_indistinguishable_wells_is_log_batch_size() -> None:
    same = torch.ones(5, 1)
    assert infonce(same, same, UNIT).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize(
    ("identity", "log_scale", "value"),
    [(EYE2, 0.0, 0.3132617), (EYE2, math.log(1 / 0.07), 6.2487e-07), (EYE3, 0.0, 0.5514447)],
)
def test_infonce_of_orthogonal_pairs(identity, log_scale, value) -> None:
    loss = infonce(identity, identity, torch.tensor(log_scale)).item()
    assert loss == pytest.approx(value, abs=1e-6)


def test_infonce_is_the_mean_of_both_directions() -> None:
    image = torch.tensor([[2.0, 1.0], [0.0, 0.0]])
    assert infonce(image, EYE2, UNIT).item() == pytest.approx(0.6116496, abs=1e-6)


def test_replicates_share_their_weight() -> None:
    loss = cwcl(EYE3, EYE3, UNIT, affinity=SAME_FIRST_TWO)
    assert loss.item() == pytest.approx(0.8847780, abs=1e-6)
    assert label_entropy(SAME_FIRST_TWO).item() == pytest.approx(0.4620981, abs=1e-6)


def test_a_shared_gene_weighs_as_much_as_it_is_told_to() -> None:
    affinity = affinity_of_all([frozenset("X"), frozenset("X"), frozenset("Y")], 0.6)
    loss = cwcl(EYE3, EYE3, UNIT, affinity=affinity)
    assert loss.item() == pytest.approx(0.8014447, abs=1e-6)


def test_each_direction_is_normalised_by_its_own_sums() -> None:
    affinity = affinity_of_all([frozenset("X"), frozenset("XY"), frozenset("Y")], 0.5)
    image, text = torch.eye(5)[[0, 1, 2]], torch.eye(5)[[0, 3, 4]]
    loss = cwcl(image, text, torch.tensor(math.log(2)), affinity=affinity)
    assert loss.item() == pytest.approx(1.0344787, abs=1e-6)


def test_cwcl_of_distinct_perturbations_is_infonce() -> None:
    image, text = unit_rows(7, seed=1), unit_rows(7, seed=2)
    torch.testing.assert_close(
        cwcl(image, text, UNIT, affinity=torch.eye(7)), infonce(image, text, UNIT)
    )


@given(rows=st.integers(2, 12), seed=st.integers(0, 2**16))
def test_cwcl_ignores_the_order_of_wells_in_the_batch(rows: int, seed: int) -> None:
    image, text = unit_rows(rows, seed=seed), unit_rows(rows, seed=seed + 1)
    weights = torch.rand(rows, rows, generator=torch.Generator().manual_seed(seed))
    affinity = weights + weights.T + torch.eye(rows)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))

    shuffled = cwcl(image[order], text[order], UNIT, affinity=affinity[order][:, order])

    torch.testing.assert_close(shuffled, cwcl(image, text, UNIT, affinity=affinity))


@given(rows=st.integers(2, 8), seed=st.integers(0, 2**16))
def test_cwcl_never_falls_below_the_entropy_of_its_labels(rows: int, seed: int) -> None:
    affinity = torch.rand(rows, rows, generator=torch.Generator().manual_seed(seed))
    affinity = (affinity + affinity.T).fill_diagonal_(1.0)
    loss = cwcl(unit_rows(rows, seed=seed), unit_rows(rows, seed=seed + 1), UNIT, affinity=affinity)
    assert loss >= label_entropy(affinity) - 1e-5


def test_gradients_are_those_of_the_formula() -> None:
    image = unit_rows(4, seed=1).double().requires_grad_()
    text = unit_rows(4, seed=2).double().requires_grad_()
    affinity = affinity_of_all([frozenset("X"), frozenset("X"), frozenset(), frozenset()], 0.5)
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    weights = affinity.double()
    assert torch.autograd.gradcheck(
        lambda i, t, s: cwcl(i, t, s, affinity=weights), (image, text, scale)
    )
    codes = torch.tensor([0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda i, s: replicate_alignment(i, codes, s), (image, scale))


def test_replicate_alignment_leaves_lone_wells_out() -> None:
    image = torch.eye(2)[[0, 0, 1]]
    loss = replicate_alignment(image, torch.tensor([0, 0, 1]), UNIT)
    assert loss.item() == pytest.approx(0.3132617, abs=1e-6)


def test_replicate_alignment_without_replicates_is_nought_with_a_gradient() -> None:
    image = EYE3.clone().requires_grad_()
    loss = replicate_alignment(image, torch.tensor([0, 1, 2]), UNIT)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(image.grad, torch.zeros(3, 3))


def test_prompts_without_genes_share_none() -> None:
    affinity = affinity_of_all([frozenset(), frozenset(), frozenset("X")], 0.7)
    assert torch.equal(affinity, torch.eye(3))


def test_cellclip_weights_of_orthogonal_inputs() -> None:
    """One channel, two wells: weights 1 and 1/2, so 2/3 and 1/3; text to image is InfoNCE's."""
    weights = channel_similarity(EYE2.unsqueeze(1))
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    loss = cellclip_cwcl(EYE2, EYE2, UNIT, weights=weights).item()
    assert loss == pytest.approx(0.6465950 + 0.3132617, abs=1e-6)


def test_channels_count_alike_in_the_similarity_of_inputs() -> None:
    tokens = torch.tensor([[[1.0, 0], [2, 0]], [[3.0, 0], [0, -5]], [[-1.0, 0], [-4, 0]]])
    expected = torch.tensor([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]])
    torch.testing.assert_close(channel_similarity(tokens), expected)


def test_siglip_is_the_sum_of_yes_and_no_over_pairs() -> None:
    """The paper's equation, pair by pair."""
    image, text = unit_rows(5, seed=1), unit_rows(5, seed=2)
    scale, bias = torch.tensor(math.log(10.0)), torch.tensor(-3.0)
    affinity = torch.eye(5)
    affinity[0, 1] = affinity[1, 0] = 1.0
    expected = 0.0
    for i in range(5):
        for j in range(5):
            z = 1 if affinity[i, j] else -1
            logit = 10 * float(image[i] @ text[j]) - 3
            expected += math.log(1 + math.exp(-z * logit)) / 5
    loss = siglip(image, text, scale, bias, affinity=affinity)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@given(st.integers(2, 6), st.integers(0, 50))
def test_no_loss_is_below_its_least_value(rows: int, seed: int) -> None:
    genes = [frozenset({"A"} if n % 2 else {"B"}) for n in range(rows)]
    labels = Labels(
        affinity_of_all(genes, 0.4),
        tokens=torch.randn(rows, 2, 3, generator=torch.Generator().manual_seed(seed)),
        logit_bias=torch.tensor(-1.0),
    )
    image, text = unit_rows(rows, seed=seed), unit_rows(rows, seed=seed + 1)
    for name in ("infonce", "cwcl", "cellclip_cwcl", "siglip"):
        loss, floor = contrastive_loss(name, image, text, torch.tensor(1.0), labels)
        assert loss >= floor - 1e-6, name


def test_the_least_value_of_siglip_is_reached_by_logits_of_its_labels() -> None:
    affinity = torch.tensor([[0.9, 0.4], [0.4, 0.9]])
    logits = torch.logit(affinity)
    loss, floor = contrastive_loss(
        "siglip", logits, EYE2, UNIT, Labels(affinity, logit_bias=torch.tensor(0.0))
    )
    torch.testing.assert_close(loss, floor)


def test_the_affinity_of_a_batch_is_that_of_its_prompts_among_all() -> None:
    genes = [frozenset("XY"), frozenset("Y"), frozenset(), frozenset("Z"), frozenset("ZX")]
    together = torch.tensor(
        [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [1, 0, 0, 1, 1]]
    )
    expected = torch.where(torch.eye(5) == 1, 1.0, 0.3 * together)
    prompts = torch.tensor([4, 2, 0, 2, 3, 0])
    found = PromptAffinity(genes, 0.3).of(prompts)
    same = prompts.unsqueeze(1) == prompts
    assert torch.equal(found, expected[prompts][:, prompts].masked_fill(same, 1.0))
    assert torch.equal(PromptAffinity(genes, 0.0).of(prompts), same.float())
