"""The first of two passes: what a network makes of the crops of a clip, for the second one to look at.

A second network that sees its neighbours restored sees more of them than the first one could, whose neighbours are
damaged: each draft has gathered what was left in frames further away (as recursive fusion does for compressed video,
Zhao et al. 2021, "Recursive Fusion and Deformable Spatiotemporal Attention for Video Compression Artifact Reduction").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.restoration.codec import ResidualCodec, no_tick
from redetail.engines.restoration.network import RestorationUNet
from redetail.geometry.context import ContextWindow, Frames
from redetail.sampling import Denoiser, NoiseTable, WindowedDenoiser


def drafts(
    network: RestorationUNet,
    codec: ResidualCodec,
    crops: CropSource,
    seen: Tensor,
    windows: Sequence[ContextWindow],
    tick: Callable[[], None] = no_tick,
) -> CropSource:
    """Crops restored in one step, decoded when they are read; they take the memory of their latents.

    ``seen`` (F, C, h/u, w/u): what the network's `look` made of them; ``windows``: those its motion layers see at once.
    ``tick`` is called after each of them. The step starts at the highest noise level with no noise, so that a draft is
    no matter of chance.
    """
    highest = NoiseTable.stable_diffusion().sigma_max

    def denoiser(frames: Frames) -> Denoiser:
        def denoise(x: Tensor, sigma: float, /) -> Tensor:
            draft: Tensor = network(x, torch.tensor(sigma, device=x.device), seen[frames], len(x))
            tick()
            return draft

        return denoise

    latents = WindowedDenoiser(denoiser, windows)(codec.encode(crops), highest)
    return replace(crops, read=lambda start, stop: codec.restored(latents[start:stop], crops.read(start, stop)))
