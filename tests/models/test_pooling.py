"""Channels to sites, sites to wells."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.morphoclip import MorphoCLIP, count_parameters
from morphoclip.models.pooling import (
    ChannelAttention,
    CrossChannelFormer,
    SitePooling,
    WellFormer,
)
from morphoclip.wells.batch import WellBatch


def former(**changes: object) -> CrossChannelFormer:
    torch.manual_seed(0)
    options = {
        "n_channels": 5, "dim": 16, "layers": 2, "heads": 4, "ff_dim": 32,
        "aggregate": "cls", "input_norm": "l2",
    }  # fmt: skip
    return CrossChannelFormer(**options | changes).eval()


def tokens(sites: int = 3, channels: int = 5, dim: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(sites, channels, dim, generator=torch.Generator().manual_seed(seed))


def test_parameter_counts_are_those_of_the_paper_model() -> None:
    model = MorphoCLIP(ModelConfig(), ModelShape(n_channels=5, feature_dim=1024, text_dim=768))
    assert count_parameters(model.channels) == 12_606_464
    assert count_parameters(model.image_head) == 788_480
    assert count_parameters(model.text_head) == 657_408
    assert count_parameters(model) == 14_052_353


@pytest.mark.parametrize("aggregate", ["cls", "mean"])
def test_channels_moved_with_their_embeddings_change_nothing(aggregate: str) -> None:
    model, order = former(aggregate=aggregate), [3, 0, 4, 1, 2]
    before = model(tokens())
    model.channel_embedding.data = model.channel_embedding.data[order]
    torch.testing.assert_close(model(tokens()[:, order]), before)
    assert not torch.allclose(model(tokens()), before)


def test_a_site_does_not_depend_on_its_batch() -> None:
    model = former()
    torch.testing.assert_close(model(tokens(4))[:1], model(tokens(4)[:1]))


def test_l2_input_makes_the_length_of_tokens_irrelevant() -> None:
    torch.testing.assert_close(former()(7 * tokens()), former()(tokens()))
    assert not torch.allclose(
        former(input_norm="none")(7 * tokens()), former(input_norm="none")(tokens())
    )


SITES = torch.tensor([[1.0, 2], [3, 4], [9, 9]])
OFFSETS = torch.tensor([0, 2, 3])


@pytest.mark.parametrize(("kind", "first"), [("mean", [2.0, 3.0]), ("max", [3.0, 4.0])])
def test_pooling_sees_each_wells_own_sites(kind: str, first: list[float]) -> None:
    assert SitePooling(kind, 2)(SITES, OFFSETS).tolist() == [first, [9.0, 9.0]]


def test_attention_with_equal_scores_is_the_mean() -> None:
    pooling = SitePooling("attention", 8)
    torch.nn.init.zeros_(pooling.score.weight)
    sites = torch.randn(3, 8)
    torch.testing.assert_close(pooling(sites, OFFSETS)[0], sites[:2].mean(0))


def test_a_well_without_sites_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 well\(s\) have no site"):
        SitePooling("mean", 2)(SITES, torch.tensor([0, 2, 2, 3]))


@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    kind=st.sampled_from(["mean", "attention", "max"]),
    seed=st.integers(0, 999),
)
def test_the_order_of_sites_and_the_company_of_wells_are_nothing(counts, kind, seed) -> None:
    torch.manual_seed(seed)
    pooling = SitePooling(kind, 8)
    sites = torch.randn(sum(counts), 8)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    pooled = pooling(sites, offsets)
    for well, (start, stop) in enumerate(itertools.pairwise(offsets)):
        own = sites[start:stop].flip(0)
        alone = pooling(own, torch.tensor([0, len(own)]))
        torch.testing.assert_close(alone[0], pooled[well])


def test_packed_wells_are_the_specs_padded_mean() -> None:
    """The spec's own lines: padded features, a site mask, a masked mean."""
    torch.manual_seed(0)
    model = MorphoCLIP(
        ModelConfig(ccf_ff_dim=32, proj_hidden_dim=8, output_dim=4), ModelShape(5, 16, 8)
    ).eval()
    batch = WellBatch(tokens(6), torch.tensor([0, 3, 4, 6]))
    features, site_mask = batch.padded()
    n_wells, n_sites, n_channels, dim = features.shape
    x = model.channels(features.view(n_wells * n_sites, n_channels, dim))
    x = x.view(n_wells, n_sites, -1)
    mask = site_mask.unsqueeze(-1).float()
    x = (x * mask).sum(dim=1) / mask.sum(dim=1)
    literal = torch.nn.functional.normalize(model.image_head(x), dim=-1)
    torch.testing.assert_close(model.encode_image(batch), literal)


def literal_former(model: CrossChannelFormer, sites: torch.Tensor) -> torch.Tensor:
    """All rows through all layers, then the first: torch's own encoder."""
    tokens = torch.nn.functional.normalize(sites, dim=-1) + model.channel_embedding
    rows = torch.cat([model.cls_query.expand(len(sites), -1, -1), tokens], dim=1)
    return model.norm_out(model.encoder(model.norm_in(rows)))[:, 0]


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("train", [True, False])
def test_the_first_row_alone_is_the_whole_encoders_first_row(layers: int, *, train: bool) -> None:
    model = former(layers=layers).train(train)
    for parameter in model.parameters():  # biases begin at 0, where a mistake would not show
        torch.nn.init.normal_(parameter, std=0.3)
    sites = tokens(7)
    results = []
    for forward in (model, lambda x: literal_former(model, x)):
        model.zero_grad()
        out = forward(sites)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in model.parameters())])
    for mine, literal in zip(*results, strict=True):
        scale = literal.abs().max().clamp(min=1)
        assert (mine - literal).abs().max() <= 1e-5 * scale


def test_the_first_row_alone_has_right_gradients() -> None:
    model = former(layers=1, dim=4, heads=2, ff_dim=6).double()
    torch.manual_seed(3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    sites = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (sites,))


def well_former(**changes: object) -> WellFormer:
    torch.manual_seed(0)
    options = {
        "n_channels": 5, "dim": 16, "layers": 2, "heads": 4, "ff_dim": 32,
        "aggregate": "cls", "input_norm": "l2",
    }  # fmt: skip
    return WellFormer(**options | changes).eval()


@pytest.mark.parametrize("aggregate", ["cls", "mean"])
def test_a_well_transformer_sees_all_tokens_of_a_well_and_no_other(aggregate: str) -> None:
    """Against the literal form: each well alone, without padding."""
    model, sites = well_former(aggregate=aggregate), tokens(sites=6)
    offsets = torch.tensor([0, 1, 4, 6])
    found = model(sites, offsets)
    for well, (first, last) in enumerate(itertools.pairwise(offsets.tolist())):
        own = torch.nn.functional.normalize(sites[first:last], dim=-1) + model.channel_embedding
        sequence = torch.cat([model.cls_query[0], own.flatten(0, 1)])
        rows = model.norm_out(model.encoder(model.norm_in(sequence).unsqueeze(0)))[0]
        expected = rows[0] if aggregate == "cls" else rows[1:].mean(0)
        torch.testing.assert_close(found[well], expected, atol=1e-5, rtol=1e-5)


def test_a_well_transformer_does_not_know_an_order_of_sites() -> None:
    model, sites = well_former(), tokens(sites=4)
    offsets = torch.tensor([0, 4])
    torch.testing.assert_close(model(sites[[2, 0, 3, 1]], offsets), model(sites, offsets))


def test_a_well_transformer_lets_sites_interact() -> None:
    model, sites = well_former(), tokens(sites=2)
    together = model(sites, torch.tensor([0, 2]))[0]
    apart = model(sites, torch.tensor([0, 1, 2])).mean(0)
    assert not torch.allclose(together, apart, atol=1e-3)


def test_attention_over_channels_is_a_weighted_mean() -> None:
    torch.manual_seed(0)
    attention, site = ChannelAttention(16, input_norm="none"), tokens(sites=1)[0]
    gated = [torch.tanh(attention.values(c)) * torch.sigmoid(attention.gates(c)) for c in site]
    scores = [attention.score(row).item() for row in gated]
    weights = torch.tensor(scores).exp()
    expected = (weights / weights.sum()) @ site
    torch.testing.assert_close(attention(site.unsqueeze(0))[0], expected)
    equal = torch.ones(1, 5, 16)
    torch.testing.assert_close(attention(equal), torch.ones(1, 16))


@pytest.mark.parametrize("aggregation", ["attention", "wellformer"])
def test_every_aggregation_trains_all_of_its_weights(aggregation: str) -> None:
    config = ModelConfig(channel_aggregation=aggregation, ccf_ff_dim=32, output_dim=8)
    model = MorphoCLIP(config, ModelShape(n_channels=5, feature_dim=16, text_dim=4))
    batch = WellBatch(tokens(sites=4), torch.tensor([0, 1, 4]))
    (model.encode_image(batch) * torch.randn(2, 8)).sum().backward()
    without = [
        n for n, p in model.channels.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert not [name for name in without if not name.endswith("score.bias")]
