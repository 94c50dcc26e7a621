"""From what a network puts out to clean latents.

A network sees x / sqrt(sigma^2 + 1), which has the variance of its training (variance preserving), and puts out one of

- ``eps``: the noise (Ho et al. 2020, arXiv 2006.11239);
- ``v``: alpha * noise - sigma_vp * x0 (Salimans and Ho 2022, arXiv 2202.00512);
- ``x0``: the clean latents (diffusers calls it "sample").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from redetail.errors import UnknownNameError
from redetail.sampling.table import NoiseTable

PredictionType = Literal["eps", "v", "x0"]
DIFFUSERS_NAMES = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def prediction_type(name: str) -> PredictionType:
    """Our name for ``name``, which may be diffusers'; raises UnknownNameError for any other."""
    match DIFFUSERS_NAMES.get(name, name):
        case "eps":
            return "eps"
        case "v":
            return "v"
        case "x0":
            return "x0"
        case _:
            raise UnknownNameError("prediction type", name, (*get_args(PredictionType), *DIFFUSERS_NAMES))


def scaled_input(x: Tensor, sigma: float) -> Tensor:
    """What the network sees of noisy latents ``x`` (any shape)."""
    return x / math.sqrt(sigma * sigma + 1)


def to_denoised(kind: PredictionType, output: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Clean latents from the network's ``output`` for noisy latents ``x`` (unscaled), in the dtype of ``x``."""
    output = output.to(x.dtype)
    match kind:
        case "eps":
            return x - sigma * output
        case "v":
            return x / (sigma * sigma + 1) - output * (sigma / math.sqrt(sigma * sigma + 1))
        case "x0":
            return output


class NetworkDenoiser:
    """A denoiser from a bare network ``(scaled x, timestep) -> output`` of the given kind."""

    def __init__(self, network: Callable[[Tensor, int], Tensor], table: NoiseTable, kind: PredictionType) -> None:
        self.network, self.table, self.kind = network, table, prediction_type(kind)

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 (F, C, h, w)."""
        output = self.network(scaled_input(x, sigma), self.table.timestep(sigma))
        return to_denoised(self.kind, output, x, sigma)
