"""Channels to sites, sites to wells."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class CrossChannelFormer(nn.Module):
    """A transformer over the channel tokens of a site (spec, "CrossChannelFormer").

    Learnable channel embeddings, a learnable CLS query, pre-norm encoder layers between two layer
    norms. ``(S, C, D)`` -> ``(S, D)``.
    """

    def __init__(  # noqa: PLR0913 - the spec's own list of knobs
        self,
        *,
        n_channels: int,
        dim: int,
        layers: int,
        heads: int,
        ff_dim: int,
        aggregate: Literal["cls", "mean"],
        input_norm: Literal["l2", "none"],
    ) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.input_norm = input_norm
        self.channel_embedding = nn.Parameter(0.02 * torch.randn(n_channels, dim))
        if aggregate == "cls":
            self.cls_query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm_in = nn.LayerNorm(dim)
        layer = nn.TransformerEncoderLayer(
            dim,
            heads,
            dim_feedforward=ff_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm_out = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` channel tokens to one ``(S, D)`` token a site."""
        if self.input_norm == "l2":
            tokens = normalize(tokens, dim=-1)
        tokens = tokens + self.channel_embedding
        if self.aggregate == "cls":
            tokens = torch.cat([self.cls_query.expand(len(tokens), -1, -1), tokens], dim=1)
        encoded: Tensor = self.norm_out(self.encoder(self.norm_in(tokens)))
        return encoded[:, 0] if self.aggregate == "cls" else encoded.mean(dim=1)


class ChannelMean(nn.Module):
    """The spec's ablation: the plain mean over channels. ``(S, C, D)`` -> ``(S, D)``."""

    def __init__(self, *, input_norm: Literal["l2", "none"]) -> None:
        super().__init__()
        self.input_norm = input_norm

    def forward(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` channel tokens to one ``(S, D)`` token a site."""
        return (normalize(tokens, dim=-1) if self.input_norm == "l2" else tokens).mean(dim=1)


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
        if self.kind == "max":
            index = well.unsqueeze(1).expand_as(sites)
            return empty.scatter_reduce(0, index, sites, "amax", include_self=False)
        if self.kind == "mean":
            return empty.index_add(0, well, sites) / counts.unsqueeze(1).to(sites.dtype)
        weights = self._attention(sites, well, len(counts))
        return empty.index_add(0, well, sites * weights.unsqueeze(1))

    def _attention(self, sites: Tensor, well: Tensor, n_wells: int) -> Tensor:
        """Softmax weights ``(S,)`` over the sites of each well."""
        scores = self.score(self.values(sites).tanh() * self.gates(sites).sigmoid()).squeeze(1)
        highest = scores.new_zeros(n_wells).scatter_reduce(
            0, well, scores, "amax", include_self=False
        )
        exponentials = (scores - highest.detach()[well]).exp()
        sums = scores.new_zeros(n_wells).index_add(0, well, exponentials)
        return exponentials / sums[well]
