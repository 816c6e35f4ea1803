# SPDX-License-Identifier: Apache-2.0
"""Blocks that the UniDepth encoders and decoders share."""

import torch
from torch import nn
from torch.nn import functional as F


class LayerScale(nn.Module):
    """A learned gain per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them: the MLP of the encoders' blocks."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MLP(nn.Module):
    """Norm, then two linear layers, [..., in_dim] to [..., out_dim]: the decoders' MLP."""

    def __init__(self, in_dim: int, expansion: int, out_dim: int | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.proj1 = nn.Linear(in_dim, in_dim * expansion)
        self.proj2 = nn.Linear(in_dim * expansion, in_dim if out_dim is None else out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj2(F.gelu(self.proj1(self.norm(x))))


class AttentionBlock(nn.Module):
    """Attention to a context (or to itself) and an MLP, both residual.

    Args:
        dim: channels of the tokens and of the context.
        heads: attention heads.
        expansion: widening of the MLP.
        bias: whether the attention's linear layers have biases.
        layer_scale: whether the residuals have learned gains.
        across_heads: attend between the heads of each token instead of between tokens. The
            published V1 hands its Nystrom attention tensors of shape [batch, tokens, heads, dim];
            with fewer heads than landmarks that is exactly this.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        expansion: int,
        *,
        bias: bool = True,
        layer_scale: bool = True,
        across_heads: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.across_heads = across_heads
        self.mlp = MLP(dim, expansion)
        self.kv = nn.Linear(dim, 2 * dim, bias=bias)
        self.q = nn.Linear(dim, dim, bias=bias)
        self.norm_attnx = nn.LayerNorm(dim)
        self.norm_attnctx = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim, bias=bias)
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        pos_embed: torch.Tensor | None = None,
        context_pos_embed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Update the tokens.

        Args:
            x: [B, N, dim] tokens.
            context: [B or 1, M, dim] what they attend to; None: themselves.
            pos_embed: [B or 1, N, dim] added to the queries.
            context_pos_embed: [B or 1, M, dim] added to the keys.
        """
        x = x + self.ls1(self._attend(x, context, pos_embed, context_pos_embed))
        return x + self.ls2(self.mlp(x))

    def _attend(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None,
        pos_embed: torch.Tensor | None,
        context_pos_embed: torch.Tensor | None,
    ) -> torch.Tensor:
        k, v = self.kv(self.norm_attnctx(x if context is None else context)).chunk(2, dim=-1)
        q = self.q(self.norm_attnx(x))
        if pos_embed is not None:
            q = q + pos_embed
        if context_pos_embed is not None:
            k = k + context_pos_embed
        q, k, v = (t.expand(len(x), -1, -1).unflatten(-1, (self.heads, -1)) for t in (q, k, v))
        if self.across_heads:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
            attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(attended.flatten(2))


def to_grid(tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[B, h * w, C] tokens to a [B, C, h, w] map, without a copy (channels_last in memory)."""
    return tokens.unflatten(1, size).permute(0, 3, 1, 2)


def to_tokens(grid: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] map to [B, h * w, C] tokens."""
    return grid.flatten(2).transpose(1, 2)


def resize(grid: torch.Tensor, size: tuple[int, int], *, antialias: bool = True) -> torch.Tensor:
    """Bilinear resize of a [B, C, h, w] map, pixel centres at half-integers."""
    if grid.shape[-2:] == size:
        return grid
    return F.interpolate(grid, size, mode="bilinear", align_corners=False, antialias=antialias)


def conv2d_float32(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Apply a zero-padded convolution in float32 whatever the precision of its weights.

    The last layers predict log depth: rounding it to bfloat16 would cost up to 1.6 % of the depth.
    """
    return F.conv2d(x.float(), conv.weight.float(), conv.bias.float(), padding=conv.padding)
