"""The first of two passes: what a network makes of the crops of a clip, for the second one to look at.

A second network that sees its neighbours restored sees more of them than the first one could, whose neighbours are
damaged: each draft has gathered what was left in frames further away (as recursive fusion does for compressed video,
Zhao et al. 2021, "Recursive Fusion and Deformable Spatiotemporal Attention for Video Compression Artifact Reduction").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redetail.engines.base import CropSource, Pixels
from redetail.engines.restoration.codec import ResidualCodec, no_tick
from redetail.engines.restoration.network import RestorationUNet
from redetail.geometry.context import ContextWindow, Frames
from redetail.sampling import Denoiser, NoiseTable, WindowedDenoiser


def drafts(
    network: RestorationUNet,
    codec: ResidualCodec,
    crops: Pixels,
    seen: Tensor,
    windows: Sequence[ContextWindow],
    tick: Callable[[], None] = no_tick,
) -> Pixels:
    """Crops (F, h, w, 3) 0..1 restored in one step, (F, h, w, 3) float32 0..1.

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

    clean = codec.encode(CropSource.of(crops))
    return codec.restored(WindowedDenoiser(denoiser, windows)(clean, highest), crops)
