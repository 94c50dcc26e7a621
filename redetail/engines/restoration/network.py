"""The restoration network: a small U-Net with motion layers over pixel-unshuffled frames.

It predicts the clean residual directly (x0 prediction); the noisy input is passed on only where the noise is low.
Measured on this data, that learns far faster than predicting noise or velocity. All mathematics is plain torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a `RestorationUNet` and the scale of its latents.

    Attributes:
        unshuffle: pixels per grid cell along each axis; 3 * unshuffle**2 latent channels.
        channels: features of each level; level i has 1 / 2**i of the grid's resolution.
        down_blocks, up_blocks: residual blocks of each level on the way down and up.
        motion_channels: inner width of each level's motion layers; 0 leaves them out.
        motion_heads: attention heads of each level's motion layers.
        residual_std: standard deviation of (target - crop) in [-1, 1] pixel units over the training data;
            latents are residuals divided by it.
        latent_scale, condition_scale: standard deviation of each coefficient of a cell (see `cell_basis`) of clean
            latents and of the condition over the training data; empty for ones.
        tasks: names of the kinds of damage whose residuals the network tells apart; empty: it predicts only their sum.
        reach: neighbouring frames on either side whose aligned differences are part of the condition; 0: none.
        fused_channels: inner width of what weighs them up.
        neighbour_scale: standard deviation of each coefficient of a cell of their differences; empty for ones.
        drafted: whether the network is also told what a first network made of the crop and of its neighbours.
    """

    unshuffle: int = 4
    channels: tuple[int, ...] = (48, 96, 160)
    down_blocks: tuple[int, ...] = (2, 2, 2)
    up_blocks: tuple[int, ...] = (3, 2, 2)
    motion_channels: tuple[int, ...] = (16, 48, 96)
    motion_heads: tuple[int, ...] = (1, 2, 4)
    residual_std: float = 0.1
    latent_scale: tuple[float, ...] = ()
    condition_scale: tuple[float, ...] = ()
    tasks: tuple[str, ...] = ()
    reach: int = 0
    fused_channels: int = 48
    neighbour_scale: tuple[float, ...] = ()
    drafted: bool = False

    @property
    def latent_channels(self) -> int:
        """Channels of a latent cell: all colour values of an unshuffle x unshuffle square."""
        return 3 * self.unshuffle**2

    @property
    def condition_channels(self) -> int:
        """Channels of a condition cell: those of the crop, then those of each neighbour's difference.

        A cell of a draft has as many: those of its residual, then those of each neighbour's draft's difference.
        """
        return (1 + 2 * self.reach) * self.latent_channels

    @property
    def size_multiple(self) -> int:
        """Crop height and width have to be multiples of this many pixels."""
        return int(self.unshuffle * 2 ** (len(self.channels) - 1))

    def to_json(self) -> str:
        """The configuration as a JSON object, keys sorted."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """Read what `to_json` wrote; unknown keys raise TypeError."""
        read: dict[str, Any] = json.loads(text)
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in read.items()}
        return cls(**values)


def sigma_features(sigma: Tensor, width: int) -> Tensor:
    """Sinusoidal features of ln sigma: (N,) -> (N, width). Frequencies 0.25..16 span SD's ln sigma of -3.5..2.7."""
    frequencies = torch.exp(torch.linspace(math.log(0.25), math.log(16.0), width // 2, device=sigma.device))
    angles = sigma.float().clamp_min(1e-4).log()[:, None] * frequencies
    features: Tensor = torch.cat([angles.sin(), angles.cos()], dim=1)
    return features


def cell_basis(size: int) -> Tensor:
    """Orthonormal basis of a cell of size x size RGB pixels, one vector a row: (3*size**2, 3*size**2).

    A cosine transform of each of the colour axes grey, red - blue and green. Pixels of a cell are nearly the same;
    in this basis their small differences are coefficients of their own, which a network learns far faster from.
    """
    n = torch.arange(size, dtype=torch.float64)
    cosines = torch.cos(math.pi / size * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / size)
    cosines[0] /= math.sqrt(2)
    colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    colours /= colours.norm(dim=1, keepdim=True)
    return torch.kron(colours, torch.kron(cosines, cosines)).float()


class ResidualBlock(nn.Module):
    """FiLM by the noise level, two dense 3x3 convolutions, skip. (N, inputs, h, w) -> (N, outputs, h, w).

    No normalisation: what is missing from a crop is in proportion to its contrast, which a norm would hide (after
    EDSR, Lim et al. 2017, arXiv:1707.02921). The second convolution starts small instead.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.film = nn.Linear(embedding, 2 * inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.normal_(self.second.weight, std=0.05 / math.sqrt(9 * outputs))
        if self.second.bias is not None:
            nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (N, inputs, h, w), embedding (N, width) -> (N, outputs, h, w)."""
        scale, shift = self.film(embedding)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        hidden = torch.addcmul(shift, x, 1 + scale)
        hidden = self.second(functional.silu(self.first(functional.silu(hidden))))
        result: Tensor = self.skip(x) + hidden
        return result


class MotionLayer(nn.Module):
    """Self-attention over the frames of a clip at each position: (B*F, C, h, w) -> the same shape.

    Positions enter as a penalty per frame of distance, with one learned slope a head (after ALiBi,
    arXiv:2108.12409), so that a layer trained on 8 frames runs on any number. The output starts at zero: an
    untrained layer is the identity.
    """

    def __init__(self, channels: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.match = nn.Conv2d(channels, 2 * inner, 1)  # queries and keys
        self.value = nn.Conv2d(channels, inner, 1)  # not normalised, for the reason given in ResidualBlock
        self.output = nn.Conv2d(inner, channels, 1)
        slopes = 2.0 ** -torch.arange(heads).float()
        self.slope = nn.Parameter(torch.log(torch.expm1(slopes)))
        nn.init.zeros_(self.output.weight)
        if self.output.bias is not None:
            nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """x (B*F, C, h, w) with num_frames = F."""
        qkv = torch.cat([self.match(self.norm(x)), self.value(x)], dim=1)
        attended: Tensor = self.output(self._attend(qkv, num_frames))
        return x + attended

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
    """A residual block followed by its motion layer, if the level has one."""

    def __init__(self, inputs: int, outputs: int, embedding: int, motion: int, heads: int) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, embedding)
        self.motion = MotionLayer(outputs, motion, heads) if motion else None

    def forward(self, x: Tensor, embedding: Tensor, num_frames: int) -> Tensor:
        """x (B*F, inputs, h, w) -> (B*F, outputs, h, w); num_frames = 0 skips the motion layer."""
        x = self.block(x, embedding)
        if self.motion is not None and num_frames > 0:
            x = self.motion(x, num_frames)
        return x


class _Guess(NamedTuple):
    """In the basis of a cell, (N, C, h, w): what of the latents enters the network, and what goes past it."""

    inputs: Tensor
    passed: Tensor


def _fusing(config: NetworkConfig) -> nn.Sequential:
    """Weighs the neighbours up against the crop; its output starts at zero."""
    first = nn.Conv2d(config.condition_channels, config.fused_channels, 3, padding=1)
    last = nn.Conv2d(config.fused_channels, config.channels[0], 3, padding=1, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(first, nn.SiLU(), last)


class RestorationUNet(nn.Module):
    """Predicts clean residual latents from noisy ones and the crop they belong to."""

    basis: Tensor
    latent_scale: Tensor
    condition_scale: Tensor
    neighbour_scale: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels, embedding = config.channels, 128
        ones = (1.0,) * config.latent_channels
        self.register_buffer("basis", cell_basis(config.unshuffle), persistent=False)
        self.register_buffer("latent_scale", torch.tensor(config.latent_scale or ones), persistent=False)
        self.register_buffer("condition_scale", torch.tensor(config.condition_scale or ones), persistent=False)
        self.embed = nn.Sequential(nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.register_buffer("neighbour_scale", torch.tensor(config.neighbour_scale or ones), persistent=False)
        self.enter = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1)
        self.crop = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1, bias=False)
        self.fuse = _fusing(config) if config.reach else None
        self.review = _fusing(config) if config.drafted else None
        self.down = nn.ModuleList(self._level(i, config.down_blocks[i], channels[i]) for i in range(len(channels)))
        self.up = nn.ModuleList(self._level(i, config.up_blocks[i], channels[i]) for i in range(len(channels)))
        pairs = list(itertools.pairwise(channels))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.parts = max(1, len(config.tasks))
        self.leave = nn.Conv2d(channels[0], self.parts * config.latent_channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    def _level(self, index: int, blocks: int, width: int) -> nn.ModuleList:
        """The stages of one level; only the last one has a motion layer, which keeps the network fast."""
        config = self.config
        motion = [0] * (blocks - 1) + [config.motion_channels[index]]
        return nn.ModuleList(Stage(width, width, 128, inner, config.motion_heads[index]) for inner in motion)

    def forward(
        self,
        latents: Tensor,
        sigma: Tensor,
        seen: Tensor,
        num_frames: int,
        motion: bool = True,
        weights: Tensor | None = None,
    ) -> Tensor:
        """One denoising step.

        Args:
            latents: (B*F, 3*u*u, h, w) noisy residual latents, k-diffusion convention: clean + sigma * noise.
            sigma: scalar, (B,) or (B*F,) noise level, > 0.
            seen: what `look` made of the crops, (B*F, channels[0], h, w).
            num_frames: F, how many neighbouring rows are one clip; B*F must be a multiple of it.
            motion: False runs every frame for itself, with the motion layers left out.
            weights: (T,) how much of each task's residual counts; None: the whole of each.

        Returns:
            The predicted clean latents, same shape: the weighted sum of `components`.
        """
        mix = torch.ones(self.parts) if weights is None else weights
        kernel, bias = self._mixed_head(mix.to(self.leave.weight))
        known, embedding = self._guess(latents, sigma)
        body = self._body(self.enter(known.inputs) + seen, embedding, num_frames if motion else 0)
        predicted = functional.conv2d(body, kernel, bias, padding=1).float()
        # What goes past the network is shared evenly by the tasks: weights of zero give zero at every noise level.
        return self._transformed(float(mix.mean()) * known.passed + self._scale * predicted, self.basis.T)

    def look(self, condition: Tensor) -> Tensor:
        """What the network takes from the crops, the same at every step: (N, channels[0], h, w).

        ``condition``: (N, (1 + 2*reach) * 3*u*u, h, w), pixel-unshuffled: the crop in -1..1, then the aligned
        difference of each neighbour in the same units (see `redetail.imaging.align`).
        """
        known = self._known(condition, self.condition_scale)
        seen: Tensor = self.crop(known[:, : self.config.latent_channels])
        return seen if self.fuse is None else seen + self.fuse(known)

    def look_at_draft(self, drafted: Tensor) -> Tensor:
        """What the network takes from drafts of the crops, to be added to what it took from the crops themselves.

        ``drafted``: as the condition of `look`, but with the draft's residual in place of the crop and with the
        differences of the neighbours' drafts. Only for a network whose config says ``drafted``.
        """
        assert self.review is not None, "this network takes no drafts"
        seen: Tensor = self.review(self._known(drafted, self.config.residual_std * self.latent_scale))
        return seen

    def _known(self, cells: Tensor, scale: Tensor) -> Tensor:
        """The picture's cells in the basis, by this scale, and those of the neighbours' differences by their own."""
        own, others = cells.tensor_split([self.config.latent_channels], dim=1)
        known = [self._transformed(own, self.basis / scale[:, None])]
        if self.config.reach:
            each = others.reshape(-1, self.config.latent_channels, *others.shape[2:])
            known.append(self._transformed(each, self.basis / self.neighbour_scale[:, None]).reshape(others.shape))
        return torch.cat(known, dim=1).contiguous(memory_format=torch.channels_last)

    def components(self, latents: Tensor, sigma: Tensor, seen: Tensor, num_frames: int) -> Tensor:
        """The predicted clean latents of each task, (B*F, T, 3*u*u, h, w); arguments as those of `forward`."""
        known, embedding = self._guess(latents, sigma)
        predicted = self.leave(self._body(self.enter(known.inputs) + seen, embedding, num_frames)).float()
        predicted = predicted.reshape(len(latents), self.parts, *latents.shape[1:])
        parts = known.passed[:, None] / self.parts + self._scale * predicted
        return self._transformed(parts.flatten(0, 1), self.basis.T).reshape(parts.shape)

    def _mixed_head(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last convolution with the tasks weighted (T,) and summed: convolving is linear."""
        shape = (self.parts, self.config.latent_channels, *self.leave.weight.shape[1:])
        kernel = torch.einsum("t,tcihw->cihw", weights, self.leave.weight.reshape(shape))
        if self.leave.bias is None:
            return kernel, None
        return kernel, weights @ self.leave.bias.reshape(shape[:2])

    @property
    def _scale(self) -> Tensor:
        return self.latent_scale[None, :, None, None]

    def _guess(self, latents: Tensor, sigma: Tensor) -> tuple[_Guess, Tensor]:
        """What the latents tell, and the embedding of the noise level (N, 128)."""
        sigma = sigma.reshape(-1).float()
        sigma = sigma.repeat_interleave(latents.shape[0] // sigma.shape[0])
        # The best linear guess of the clean coefficients: noise that tells nothing hardly enters, so that at high
        # noise levels the network is a restorer of the crop from the first step on.
        trust = self._scale**2 / (self._scale**2 + (sigma**2)[:, None, None, None])
        guess = trust * self._transformed(latents, self.basis)
        inputs = (guess / self._scale).contiguous(memory_format=torch.channels_last)
        return _Guess(inputs, guess * trust), self.embed(sigma_features(sigma, 64))

    @staticmethod
    def _transformed(cells: Tensor, basis: Tensor) -> Tensor:
        """Every cell of (N, C, h, w) in another basis (C, C); in full precision, where small differences count."""
        with torch.autocast(cells.device.type, enabled=False):
            return functional.conv2d(cells.float(), basis[:, :, None, None])

    def _body(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        skips: list[Tensor] = []
        for index, level in enumerate(self.down):
            for stage in level:  # type: ignore[attr-defined]
                x = stage(x, embedding, frames)
            if index < len(self.shrink):
                skips.append(x)
                x = self.shrink[index](x)
        for index in reversed(range(len(self.up))):
            if index < len(self.grow):
                x = self.grow[index](x) + skips[index]
            for stage in self.up[index]:  # type: ignore[attr-defined]
                x = stage(x, embedding, frames)
        return x
