"""The first of two passes: a network makes drafts of a clip's crops, which the second network sees.

The second network sees restored neighbours and so more detail than the first one, whose neighbours are damaged: each
draft has already gathered detail from frames further away (as recursive fusion does for compressed video, Zhao et al.
2021, "Recursive Fusion and Deformable Spatiotemporal Attention for Video Compression Artifact Reduction").
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
    """Crops restored in one step and decoded when they are read; only their latents take memory.

    ``seen`` (F, C, h/u, w/u): the output of the network's `look` for the crops; ``windows``: the context windows of its
    motion layers; ``tick`` is called after each of these. The step starts at the highest noise level but without noise,
    so that drafts are not random.
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
