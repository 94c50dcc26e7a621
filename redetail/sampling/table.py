"""``NoiseTable``: the noise levels that a network was trained on."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from redetail.errors import SettingsError


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Sigmas of a network's timesteps, ascending; ``sigmas[i]`` = sqrt((1 - abar_i) / abar_i), kept as float32.

    Raises :class:`~redetail.errors.SettingsError` unless there are at least two, all positive and strictly ascending.
    """

    sigmas: tuple[float, ...]
    _logs: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.sigmas))
        if len(self.sigmas) < 2 or not rising or not 0 < self.sigmas[0] < self.sigmas[-1] < math.inf:
            raise SettingsError("A noise table needs at least two positive sigmas in strictly rising order.")
        # Logarithms are taken before rounding to float32, as in ComfyUI.
        object.__setattr__(self, "_logs", _float32(map(math.log, self.sigmas)))
        object.__setattr__(self, "sigmas", _float32(self.sigmas))

    @classmethod
    def from_betas(cls, betas: Tensor | Sequence[float]) -> NoiseTable:
        """Table of the variances ``betas`` of the forward process (Ho et al. 2020, arXiv 2006.11239)."""
        abar = torch.cumprod(1 - torch.as_tensor(betas, dtype=torch.float64), dim=0)
        return cls(tuple(((1 - abar) / abar).sqrt().tolist()))

    @classmethod
    def stable_diffusion(cls) -> NoiseTable:
        """Stable Diffusion 1 and 2: square roots of beta evenly spaced, 0.00085 to 0.012, 1000 timesteps."""
        return cls.from_betas(torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2)

    @classmethod
    def animatediff(cls) -> NoiseTable:
        """AnimateDiff's motion modules: beta evenly spaced, 0.00085 to 0.012, 1000 timesteps."""
        return cls.from_betas(torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        return self.sigmas[-1]

    def timestep(self, sigma: float) -> int:
        """Index of the sigma nearest in ln sigma, 0..len-1; values outside give the first or last index (0 gives 0)."""
        if sigma <= self.sigma_min:
            return 0
        log = math.log(sigma)
        upper = min(max(bisect_left(self._logs, log), 1), len(self) - 1)
        return upper - 1 if log - self._logs[upper - 1] <= self._logs[upper] - log else upper

    def sigma(self, t: float) -> float:
        """Sigma of a real timestep: ln sigma is linear between neighbours, ``t`` is clamped to 0..len-1.

        Everything is in float32, as in the recorded schedules, because a Brownian path depends on the last bit of its
        ends.
        """
        position = torch.tensor(t, dtype=torch.float32).clamp(0, len(self) - 1)
        low, high, fraction = int(position.floor()), int(position.ceil()), position.frac()
        return float(((1 - fraction) * self._logs[low] + fraction * self._logs[high]).exp())


def _float32(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(torch.tensor(list(values), dtype=torch.float32).tolist())
