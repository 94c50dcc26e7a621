"""The restoration network: a small U-Net with motion layers over pixel-unshuffled frames.

It predicts the clean residual directly (x0 prediction); the noisy input is passed on only if the noise is low. On this
data, that measurably learns far faster than predicting noise or velocity. All mathematics is plain torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from redetail.engines.restoration.config import NetworkConfig
from redetail.engines.restoration.layers import AT_ONCE, Stage, cell_basis, sigma_features
from redetail.imaging.sharpness import LUMA


class _Guess(NamedTuple):
    """In the basis of a cell, (N, C, h, w): the part of the latents that enters the network, and the part that bypasses
    it."""

    inputs: Tensor
    passed: Tensor


def _fusing(config: NetworkConfig) -> nn.Sequential:
    """The layers that combine the neighbours with the crop; their output starts at zero."""
    neighbours = config.neighbour_rank or config.condition_channels - config.latent_channels
    first = nn.Conv2d(config.latent_channels + neighbours, config.fused_channels, 3, padding=1)
    last = nn.Conv2d(config.fused_channels, config.channels[0], 3, padding=1, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(first, nn.SiLU(), last)


def _narrowing(config: NetworkConfig) -> nn.Conv2d | None:
    """The layer that reduces the neighbours' differences to `neighbour_rank` channels; None if that is 0."""
    others = config.condition_channels - config.latent_channels
    return nn.Conv2d(others, config.neighbour_rank, 1, bias=False) if others and config.neighbour_rank else None


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
        self.narrow = _narrowing(config) if config.reach else None
        self.narrow_drafts = _narrowing(config) if config.drafted else None
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
        limit = config.activation_limit if index >= len(config.channels) - 2 else 0.0
        heads, rank = config.motion_heads[index], config.rank(index)
        return nn.ModuleList(Stage(width, 128, inner, heads, rank=rank, limit=limit) for inner in motion)

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
            seen: the output of `look` for the crops, (B*F, channels[0], h, w).
            num_frames: F, the number of neighbouring rows that form one clip; B*F must be a multiple of it.
            motion: False runs every frame by itself, without the motion layers.
            weights: (T,) how much of each task's residual counts; None: all of each.

        Returns:
            The predicted clean latents, same shape: the weighted sum of `components`.
        """
        mix = torch.ones(self.parts) if weights is None else weights
        kernel, bias = self._mixed_head(mix)

        def leave(body: Tensor, passed: Tensor) -> Tensor:
            return self._clean(functional.conv2d(body, kernel, bias, padding=1).float(), passed, mix)

        return self._run(latents, sigma, seen, num_frames if motion else 0, leave)

    def beside_luma(
        self, latents: Tensor, sigma: Tensor, seen: Tensor, num_frames: int, weights: Tensor, sums: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The result of `forward`, and the luma of K other weighted sums of `components`: (B*F, K, h*u, w*u).

        ``sums``: (K, T), the weights of each sum. For these, the network's last convolution computes only luma.
        """
        own, lit = len(self.basis), self._lit()
        heads = [self._mixed_head(weights), *(self._luma_head(mix, lit) for mix in sums)]
        kernel = torch.cat([kernel for kernel, _ in heads])
        bias = torch.cat([bias for _, bias in heads if bias is not None]) if heads[0][1] is not None else None
        shares = sums.mean(dim=1).to(lit)[:, None, None, None]

        def leave(body: Tensor, passed: Tensor) -> Tensor:
            predicted = functional.conv2d(body, kernel, bias, padding=1).float()
            luma = predicted[:, own:] + (shares * self._transformed(passed, lit)[:, None]).flatten(1, 2)
            return torch.cat([self._clean(predicted[:, :own], passed, weights), luma], dim=1)

        both = self._run(latents, sigma, seen, num_frames, leave)
        return both[:, :own], functional.pixel_shuffle(both[:, own:], self.config.unshuffle)

    def _clean(self, predicted: Tensor, passed: Tensor, mix: Tensor) -> Tensor:
        """Latents from the output of the last convolution and from the part that bypasses the network.

        The tasks share that part evenly, so that weights of zero give zero at every noise level.
        """
        return self._transformed(float(mix.mean()) * passed + self._scale * predicted, self.basis.T)

    def _lit(self) -> Tensor:
        """(u*u, 3*u*u): the matrix from a cell's coefficients to the luma of its pixels."""
        pixels = torch.eye(len(self.basis) // 3, device=self.basis.device)
        return torch.kron(self.basis.new_tensor(LUMA)[None], pixels) @ self.basis.T

    def _luma_head(self, mix: Tensor, lit: Tensor) -> tuple[Tensor, Tensor | None]:
        """`_mixed_head` of luma: (u*u, c, 3, 3) and (u*u,)."""
        kernel, bias = self._mixed_head(mix)
        scaled = (lit * self.latent_scale).to(kernel)
        return torch.einsum("lc,cihw->lihw", scaled, kernel), None if bias is None else scaled @ bias

    def look(self, condition: Tensor) -> Tensor:
        """The network's first features of the crops, which are the same at every step: (N, channels[0], h, w).

        ``condition``: (N, (1 + 2*reach) * 3*u*u, h, w), pixel-unshuffled: the crop in -1..1, then the aligned
        difference of each neighbour in the same units (see `redetail.imaging.align`).
        """
        known = self._known(condition, self.condition_scale, self.narrow)
        seen: Tensor = self.crop(known[:, : self.config.latent_channels])
        if self.fuse is not None:
            seen += self.fuse(known)
        return seen

    def look_at_draft(self, drafted: Tensor) -> Tensor:
        """The network's first features of the drafts, to be added to those of the crops themselves.

        ``drafted``: like the condition of `look`, but with the draft's residual instead of the crop, and with the
        differences of the neighbours' drafts. Only for a network whose config has ``drafted``.
        """
        assert self.review is not None, "this network takes no drafts"
        scale = self.config.residual_std * self.latent_scale
        seen: Tensor = self.review(self._known(drafted, scale, self.narrow_drafts))
        return seen

    def _known(self, cells: Tensor, scale: Tensor, narrow: nn.Conv2d | None) -> Tensor:
        """Cells of pictures and of their neighbours' differences, (N, C, h, w), as coefficients divided by their scale.

        ``scale``: the scale of the pictures' own coefficients; ``narrow``: reduces those of the neighbours to fewer
        channels. All of this is one matrix product in full precision, because small differences count.
        """
        count, channels, height, width = cells.shape
        own = len(self.basis)
        beside = torch.kron(
            torch.eye(channels // own - 1, device=cells.device), self.basis / self.neighbour_scale[:, None]
        )
        with torch.autocast(cells.device.type, enabled=False):
            if narrow is not None:
                beside = narrow.weight[:, :, 0, 0].float() @ beside
            matrix = beside.new_zeros(own + len(beside), channels)
            matrix[:own, :own], matrix[own:, own:] = self.basis / scale[:, None], beside
            known: Tensor = cells.float().flatten(2).transpose(1, 2) @ matrix.T
        return known.reshape(count, height, width, -1).permute(0, 3, 1, 2)  # channels last in memory

    def components(self, latents: Tensor, sigma: Tensor, seen: Tensor, num_frames: int) -> Tensor:
        """The predicted clean latents of each task, (B*F, T, 3*u*u, h, w); the arguments are those of `forward`."""

        def leave(body: Tensor, passed: Tensor) -> Tensor:
            predicted = self.leave(body).float().reshape(len(body), self.parts, *passed.shape[1:])
            parts = passed[:, None] / self.parts + self._scale * predicted
            return self._transformed(parts.flatten(0, 1), self.basis.T).reshape(parts.shape)

        return self._run(latents, sigma, seen, num_frames, leave)

    def _entered(self, inputs: Tensor, seen: Tensor) -> Tensor:
        entered: Tensor = self.enter(inputs)
        entered += seen
        return entered

    def _mixed_head(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last convolution with the tasks weighted (T,) and summed, which is possible because convolution is
        linear."""
        weights = weights.to(self.leave.weight)
        shape = (self.parts, self.config.latent_channels, *self.leave.weight.shape[1:])
        kernel = torch.einsum("t,tcihw->cihw", weights, self.leave.weight.reshape(shape))
        if self.leave.bias is None:
            return kernel, None
        return kernel, weights @ self.leave.bias.reshape(shape[:2])

    @property
    def _scale(self) -> Tensor:
        return self.latent_scale[None, :, None, None]

    def _guess(self, latents: Tensor, sigma: Tensor) -> _Guess:
        """The best guess from the latents alone at noise levels (N,)."""
        # The best linear guess of the clean coefficients: uninformative noise hardly enters, so that at high
        # noise levels the network restores the crop from the first step on.
        trust = self._scale**2 / (self._scale**2 + (sigma**2)[:, None, None, None])
        guess = trust * self._transformed(latents, self.basis)
        inputs = (guess / self._scale).contiguous(memory_format=torch.channels_last)
        return _Guess(inputs, guess * trust)

    @staticmethod
    def _transformed(cells: Tensor, basis: Tensor) -> Tensor:
        """Every cell of (N, C, h, w) in another basis (D, C); in full precision, where small differences count."""
        with torch.autocast(cells.device.type, enabled=False):
            moved: Tensor = basis @ cells.float().flatten(2)
            return moved.view(len(cells), len(basis), *cells.shape[2:])

    def _run(
        self, latents: Tensor, sigma: Tensor, seen: Tensor, frames: int, leave: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The whole network; ``leave`` makes the result from its last features and from the part that bypasses it.

        The finest level takes most of the memory. Unless it looks across frames, it runs on a few frames at a time.
        """
        sigma = sigma.reshape(-1).float()
        sigma = sigma.repeat_interleave(len(latents) // len(sigma))
        embedding: Tensor = self.embed(sigma_features(sigma, 64))
        across = frames > 0 and self.config.motion_channels[0] > 0
        rows = len(latents) if across or torch.is_grad_enabled() else max(1, AT_ONCE // seen[0].numel())
        parts = list(zip(*(torch.split(each, rows) for each in (latents, sigma, seen, embedding)), strict=True))
        skips = [
            _staged(self.down[0], self._entered(self._guess(x, level).inputs, told), embedded, frames)
            for x, level, told, embedded in parts
        ]
        bodies: Iterable[Tensor] = skips
        if self.shrink:
            below = self._coarse(1, torch.cat([self.shrink[0](skip) for skip in skips]), embedding, frames)
            bodies = (self._joined(0, *pair) for pair in zip(torch.split(below, rows), skips, strict=True))
        results = [
            # The part that bypasses the network is computed again here; keeping it would take memory for all frames.
            leave(_staged(self.up[0], body, embedded, frames), self._guess(x, level).passed)
            for (x, level, _, embedded), body in zip(parts, bodies, strict=True)
        ]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _coarse(self, index: int, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        """A level and those below it: (N, channels[index], h, w) -> the same shape."""
        x = _staged(self.down[index], x, embedding, frames)
        if index < len(self.shrink):
            x = self._joined(index, self._coarse(index + 1, self.shrink[index](x), embedding, frames), x)
        return _staged(self.up[index], x, embedding, frames)

    def _joined(self, index: int, below: Tensor, skip: Tensor) -> Tensor:
        """The output of the level below, added to the features that skipped it."""
        grown: Tensor = self.grow[index](below)
        grown += skip
        return grown


def _staged(stages: nn.Module, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
    for stage in stages:  # type: ignore[attr-defined]
        x = stage(x, embedding, frames)
    return x
