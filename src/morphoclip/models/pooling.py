"""Channels to sites, sites to wells."""

from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphoclip.wells.batch import WellBatch

InputNorm = Literal["l2", "none"]


def _encoder(dim: int, *, layers: int, heads: int, ff_dim: int) -> nn.TransformerEncoder:
    """Pre-norm layers without dropout."""
    layer = nn.TransformerEncoderLayer(
        dim,
        heads,
        dim_feedforward=ff_dim,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class CrossChannelFormer(nn.Module):
    """A transformer over the channel tokens of a site (spec, "CrossChannelFormer").

    Learnable channel embeddings, a learnable CLS query, pre-norm encoder layers between two layer
    norms. ``(S, C, D)`` -> ``(S, D)``.
    """

    def __init__(
        self,
        *,
        n_channels: int,
        dim: int,
        layers: int,
        heads: int,
        ff_dim: int,
        aggregate: Literal["cls", "mean"],
        input_norm: InputNorm,
    ) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.input_norm = input_norm
        self.channel_embedding = nn.Parameter(0.02 * torch.randn(n_channels, dim))
        if aggregate == "cls":
            self.cls_query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm_in = nn.LayerNorm(dim)
        self.encoder = _encoder(dim, layers=layers, heads=heads, ff_dim=ff_dim)
        self.norm_out = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` channel tokens to one ``(S, D)`` token per site."""
        tokens = self.norm_in(normalised_input(tokens, self.input_norm) + self.channel_embedding)
        match self.aggregate:
            case "mean":
                return self.norm_out(self.encoder(tokens)).mean(dim=1)
            case "cls":
                return self._cls_row(tokens)
            case _:
                assert_never(self.aggregate)

    def _cls_row(self, tokens: Tensor) -> Tensor:
        """The CLS query after all layers, ``(S, D)``."""
        *first, last = self.encoder.layers
        query = self.norm_in(self.cls_query).expand(len(tokens), -1, -1)
        if first:
            everything = torch.cat([query, tokens], dim=1)
            for layer in first:
                everything = layer(everything)
            query, tokens = everything[:, :1], everything[:, 1:]
        return self.norm_out(cls_row_of_layer(last, query[:, 0], tokens))


def cls_row_of_layer(layer: nn.TransformerEncoderLayer, query: Tensor, tokens: Tensor) -> Tensor:
    """What a pre-norm layer makes of its first row, ``(S, D)``; the other rows are not computed.

    Exact: only the first row asks, so keys collapse into one vector
    per head, ``u = W_k^T q`` (their bias adds alike to all scores, and a softmax does not see it),
    and values are taken of the weighted sum instead of summed.

    Args:
        layer: Pre-norm, without dropout.
        query: The first row, ``(S, D)``; of the first layer it is the same for every site, and an
            expanded view costs its projections once.
        tokens: The other rows, ``(S, C, D)``.
    """
    attention = layer.self_attn
    heads, dim = attention.num_heads, query.shape[1]
    weights = attention.in_proj_weight.view(3, heads, dim // heads, dim)
    biases = attention.in_proj_bias.view(3, heads, dim // heads)
    asking = layer.norm1(_once_if_alike(query))
    normed = layer.norm1(tokens)
    asked = torch.einsum("nd,hed->nhe", asking, weights[0]) + biases[0]
    keys = torch.einsum("nhe,hed->nhd", asked, weights[1]) * (dim // heads) ** -0.5
    keys, asking = (row.expand(len(query), *row.shape[1:]) for row in (keys, asking))
    own_score = torch.einsum("nd,nhd->nh", asking, keys).unsqueeze(-1)
    scores = torch.cat([own_score, torch.einsum("ncd,nhd->nhc", normed, keys)], dim=-1)
    shares = scores.softmax(dim=-1)
    context = shares[..., :1] * asking.unsqueeze(1) + shares[..., 1:] @ normed
    values = torch.einsum("nhd,hed->nhe", context, weights[2]) + biases[2]
    row = query + attention.out_proj(values.flatten(1))
    return row + layer.linear2(layer.activation(layer.linear1(layer.norm2(row))))


def _once_if_alike(rows: Tensor) -> Tensor:
    """The one row that an expanded view repeats, or all rows."""
    return rows[:1] if rows.stride(0) == 0 else rows


def normalised_input(tokens: Tensor, input_norm: InputNorm) -> Tensor:
    """Channel tokens ``(S, C, D)`` at unit length, or as they are."""
    match input_norm:
        case "l2":
            return normalize(tokens, dim=-1)
        case "none":
            return tokens
        case _:
            assert_never(input_norm)


class WellFormer(nn.Module):
    """One transformer over all channel tokens of all sites of a well.

    Channel embeddings, a learnable CLS query, pre-norm layers between two layer norms; sites have
    no order. ``(S, C, D)`` tokens of B wells -> ``(B, D)``, without a pooling of sites.
    """

    def __init__(
        self,
        *,
        n_channels: int,
        dim: int,
        layers: int,
        heads: int,
        ff_dim: int,
        aggregate: Literal["cls", "mean"],
        input_norm: InputNorm,
    ) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.input_norm = input_norm
        self.channel_embedding = nn.Parameter(0.02 * torch.randn(n_channels, dim))
        self.cls_query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm_in = nn.LayerNorm(dim)
        self.encoder = _encoder(dim, layers=layers, heads=heads, ff_dim=ff_dim)
        self.norm_out = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """``(S, C, D)`` tokens and ``(B + 1,)`` offsets to ``(B, D)``."""
        embedded = normalised_input(tokens, self.input_norm) + self.channel_embedding
        padded, is_site = WellBatch(embedded, offsets).padded()
        sequence = torch.cat([self.cls_query.expand(len(padded), -1, -1), padded.flatten(1, 2)], 1)
        is_token = is_site.repeat_interleave(tokens.shape[1], dim=1)
        is_token = torch.cat([is_token.new_ones(len(padded), 1), is_token], dim=1)
        rows = self.encoder(self.norm_in(sequence), src_key_padding_mask=~is_token)
        rows = self.norm_out(rows)
        match self.aggregate:
            case "cls":
                return rows[:, 0]
            case "mean":
                weights = is_token[:, 1:].unsqueeze(-1).to(rows.dtype)
                return (rows[:, 1:] * weights).sum(1) / weights.sum(1)
            case _:
                assert_never(self.aggregate)


class ChannelAttention(nn.Module):
    """Gated attention over channels (Ilse et al. 2018, arXiv:1802.04712, equation 9).

    The weighted mean of a site's channel tokens. ``(S, C, D)`` -> ``(S, D)``.
    """

    def __init__(self, dim: int, *, input_norm: InputNorm) -> None:
        super().__init__()
        self.input_norm = input_norm
        self.values = nn.Linear(dim, dim // 4)
        self.gates = nn.Linear(dim, dim // 4)
        self.score = nn.Linear(dim // 4, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` channel tokens to one ``(S, D)`` token per site."""
        tokens = normalised_input(tokens, self.input_norm)
        scores = self.score(self.values(tokens).tanh() * self.gates(tokens).sigmoid())
        return (scores.softmax(dim=1) * tokens).sum(dim=1)


class ChannelMean(nn.Module):
    """The spec's ablation: the plain mean over channels. ``(S, C, D)`` -> ``(S, D)``."""

    def __init__(self, *, input_norm: InputNorm) -> None:
        super().__init__()
        self.input_norm = input_norm

    def forward(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` channel tokens to one ``(S, D)`` token per site."""
        return normalised_input(tokens, self.input_norm).mean(dim=1)


class SitePooling(nn.Module):
    """Sites to wells over packed rows: mean, gated attention or maximum. Never sees padding."""

    def __init__(self, kind: Literal["mean", "attention", "max"], dim: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "attention":
            self.values = nn.Linear(dim, dim // 4)
            self.gates = nn.Linear(dim, dim // 4)
            self.score = nn.Linear(dim // 4, 1)

    def forward(self, sites: Tensor, offsets: Tensor) -> Tensor:
        """``(S, D)`` sites of B wells, with ``(B + 1,)`` offsets, to ``(B, D)``.

        Raises:
            ValueError: A well has no site.
        """
        counts = offsets.diff()
        if counts.device.type == "cpu" and bool((counts == 0).any()):  # no waiting on a GPU
            raise ValueError(f"{int((counts == 0).sum())} well(s) have no site to pool")
        well = torch.arange(len(counts), device=sites.device).repeat_interleave(
            counts, output_size=len(sites)
        )
        empty = sites.new_zeros(len(counts), sites.shape[1])
        match self.kind:
            case "max":
                index = well.unsqueeze(1).expand_as(sites)
                return empty.scatter_reduce(0, index, sites, "amax", include_self=False)
            case "mean":
                return empty.index_add(0, well, sites) / counts.unsqueeze(1).to(sites.dtype)
            case "attention":
                weights = self._attention(sites, well, len(counts))
                return empty.index_add(0, well, sites * weights.unsqueeze(1))
            case _:
                assert_never(self.kind)

    def _attention(self, sites: Tensor, well: Tensor, n_wells: int) -> Tensor:
        """Softmax weights ``(S,)`` over the sites of each well."""
        scores = self.score(self.values(sites).tanh() * self.gates(sites).sigmoid()).squeeze(1)
        highest = scores.new_zeros(n_wells).scatter_reduce(
            0, well, scores, "amax", include_self=False
        )
        exponentials = (scores - highest.detach()[well]).exp()
        sums = scores.new_zeros(n_wells).index_add(0, well, exponentials)
        return exponentials / sums[well]
