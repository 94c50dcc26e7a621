"""The building blocks of the restoration network: residual blocks, motion layers, and the basis of a cell of pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def sigma_features(sigma: Tensor, width: int) -> Tensor:
    """Sinusoidal features of ln sigma: (N,) -> (N, width). Frequencies 0.25..16 span SD's ln sigma of -3.5..2.7."""
    frequencies = torch.exp(torch.linspace(math.log(0.25), math.log(16.0), width // 2, device=sigma.device))
    angles = sigma.float().clamp_min(1e-4).log()[:, None] * frequencies
    features: Tensor = torch.cat([angles.sin(), angles.cos()], dim=1)
    return features


_VALUES = torch.device("cpu")
"""Where constants are computed, even for a network on the meta device: arithmetic there would import PyTorch's
compiler, which takes seconds."""


def cell_basis(size: int) -> Tensor:
    """Orthonormal basis of a cell of size x size RGB pixels, one vector per row: (3*size**2, 3*size**2).

    It is a cosine transform of each of the colour axes grey, red - blue and green. The pixels of a cell are nearly
    equal; in this basis their small differences are separate coefficients, from which a network learns far faster.
    """
    with _VALUES:
        n = torch.arange(size, dtype=torch.float64)
        cosines = torch.cos(math.pi / size * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / size)
        cosines[0] /= math.sqrt(2)
        colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
        colours /= colours.norm(dim=1, keepdim=True)
        return torch.kron(colours, torch.kron(cosines, cosines)).float()


def dense(inputs: int, outputs: int, rank: int = 0) -> nn.Module:
    """A 3x3 convolution; with a rank, a 3x3 convolution to this many channels followed by a 1x1 convolution.

    The output of a trained convolution lies near a subspace of few dimensions, especially at coarse levels (Zhang et
    al. 2016, "Accelerating Very Deep Convolutional Networks", arXiv:1505.06798); `training/compress.py` finds it.
    """
    if not rank:
        return nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(nn.Conv2d(inputs, rank, 3, padding=1, bias=False), nn.Conv2d(rank, outputs, 1))


AT_ONCE = 2**21
"""Most numbers that a block computes at once during inference, since each of its layers holds as many again."""


class ResidualBlock(nn.Module):
    """FiLM by the noise level, two 3x3 convolutions (see `dense`), skip. (N, inputs, h, w) -> (N, outputs, h, w).

    There is no normalisation: what is missing from a crop is proportional to its contrast, which a norm would hide
    (after EDSR, Lim et al. 2017, arXiv:1707.02921). Instead, the second convolution starts with small weights.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, rank: int = 0) -> None:
        super().__init__()
        self.film = nn.Linear(embedding, 2 * inputs)
        self.first = dense(inputs, outputs, rank)
        self.second = dense(outputs, outputs, rank)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        if isinstance(self.second, nn.Conv2d):
            nn.init.normal_(self.second.weight, std=0.05 / math.sqrt(9 * outputs))
            nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (N, inputs, h, w), embedding (N, width) -> (N, outputs, h, w). During inference, x is overwritten.

        Memory bandwidth limits these layers: data that is written in place, a few frames at a time, stays in the cache.
        """
        scale, shift = self.film(embedding)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        if torch.is_grad_enabled() or not isinstance(self.skip, nn.Identity):
            result: Tensor = self.skip(x) + self._change(x, scale, shift)
            return result
        rows = max(1, AT_ONCE // x[0].numel())
        for part, *film in zip(*(each.split(rows) for each in (x, scale, shift)), strict=True):
            part += self._change(part, *film)
        return x

    def _change(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        hidden = functional.silu(torch.addcmul(shift, x, 1 + scale), inplace=True)
        changed: Tensor = self.second(functional.silu(self.first(hidden), inplace=True))
        return changed


class MotionLayer(nn.Module):
    """Self-attention over the frames of a clip at each position: (B*F, C, h, w) -> the same shape.

    Positions enter as a penalty per frame of distance, with one learned slope per head (after ALiBi, arXiv:2108.12409),
    so that a layer trained on 8 frames runs on any number. The output starts at zero: an untrained layer is the
    identity.
    """

    def __init__(self, channels: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.match = nn.Conv2d(channels, 2 * inner, 1)  # queries and keys
        self.value = nn.Conv2d(channels, inner, 1)  # not normalised, for the reason given in ResidualBlock
        self.output = nn.Conv2d(inner, channels, 1)
        with _VALUES:
            slopes = 2.0 ** -torch.arange(heads).float()
            self.slope = nn.Parameter(torch.log(torch.expm1(slopes)))
        nn.init.zeros_(self.output.weight)
        if self.output.bias is not None:
            nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """x (B*F, C, h, w) with num_frames = F."""
        qkv = torch.cat([self.match(self.norm(x)), self.value(x)], dim=1)
        attended: Tensor = self.output(self._attend(qkv, num_frames))
        attended += x
        return attended

    def _attend(self, qkv: Tensor, frames: int) -> Tensor:
        """qkv (B*F, 3*inner, h, w) -> attended values (B*F, inner, h, w)."""
        total, triple, height, width = qkv.shape
        clips, cells, depth = total // frames, height * width, triple // 3 // self.heads
        # (3, B*h*w, heads, F, depth): every position is one sequence of F tokens.
        split = qkv.permute(0, 2, 3, 1).reshape(clips, frames, cells, 3, self.heads, depth)
        query, key, value = (
            split.permute(3, 0, 2, 4, 1, 5).reshape(3, clips * cells, self.heads, frames, depth).unbind(0)
        )
        order = torch.arange(frames, device=qkv.device)
        distance = (order[:, None] - order[None, :]).abs().float()
        bias = (-functional.softplus(self.slope.float())[:, None, None] * distance).to(query.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed = mixed.reshape(clips, cells, self.heads, frames, depth).permute(0, 3, 1, 2, 4)
        return mixed.reshape(total, height, width, self.heads * depth).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """A residual block followed by its motion layer, if the level has one.

    ``limit``: largest magnitude of the outputs of both, 0 for any. Blocks have no norm, so content unlike the training
    data can drive them far beyond the values that later layers have seen.
    """

    def __init__(
        self, width: int, embedding: int, motion: int, heads: int, *, rank: int = 0, limit: float = 0.0
    ) -> None:
        super().__init__()
        self.limit = limit
        self.block = ResidualBlock(width, width, embedding, rank)
        self.motion = MotionLayer(width, motion, heads) if motion else None

    def forward(self, x: Tensor, embedding: Tensor, num_frames: int) -> Tensor:
        """x (B*F, width, h, w) -> the same shape; num_frames = 0 skips the motion layer. x as in a block."""
        x = self._bounded(self.block(x, embedding))
        if self.motion is not None and num_frames > 0:
            x = self._bounded(self.motion(x, num_frames))
        return x

    def _bounded(self, x: Tensor) -> Tensor:
        return x.clamp_(-self.limit, self.limit) if self.limit else x
