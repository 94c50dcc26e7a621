"""``NoisePath``: how noise is added to clean latents, and what a network predicts of it.

A path joins clean latents to pure noise: at noise level sigma the state is alpha(sigma) * clean + sigma * noise.
Samplers, masks, the refiner and the engines ask it for everything that depends on the kind of model, so each formula is
written only once, here. There are two kinds:

- :class:`VarianceExploding`: alpha = 1, sigma from 0 to about 14 (Karras et al. 2022, arXiv 2206.00364). The networks
  of Stable Diffusion, in the variables of k-diffusion.
- :class:`RectifiedFlow`: alpha = 1 - sigma, sigma from 0 to 1 (Liu et al. 2022, arXiv 2209.03003; Esser et al. 2024,
  arXiv 2403.03206). The networks of Wan and LTX.

Latents and noise can have any shape, but must have the same; sigma is a plain float.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeVar, get_args

import torch
from torch import Tensor

from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling.table import NoiseTable

T = TypeVar("T", float, Tensor)

PredictionType = Literal["eps", "v", "x0"]
DIFFUSERS_NAMES = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def prediction_type(name: str) -> PredictionType:
    """The name used here for ``name``, which can be diffusers' name; raises UnknownNameError for any other."""
    match DIFFUSERS_NAMES.get(name, name):
        case "eps":
            return "eps"
        case "v":
            return "v"
        case "x0":
            return "x0"
        case _:
            raise UnknownNameError("prediction type", name, (*get_args(PredictionType), *DIFFUSERS_NAMES))


class NoisePath(ABC):
    """The noise levels that a network was trained on, and the arithmetic of its states.

    ``variance_exploding``: whether alpha is 1 everywhere. ``noise_seed_offset``: added to a run's seed for the plain
    noise of its steps; ``whole_brownian``: whether a Brownian path spans the whole schedule or only the sampled part.
    Both are as in ComfyUI for networks of this kind.
    """

    variance_exploding: ClassVar[bool] = False
    noise_seed_offset: ClassVar[int] = 0
    whole_brownian: ClassVar[bool] = True

    @property
    @abstractmethod
    def sigmas(self) -> tuple[float, ...]:
        """The noise levels of the network's timesteps in ascending order; float32 values."""

    @abstractmethod
    def timestep(self, sigma: float) -> float:
        """The network's input for a noise level."""

    @abstractmethod
    def sigma(self, timestep: float) -> float:
        """The noise level of a real timestep, for schedules that space timesteps."""

    @abstractmethod
    def sigma_at(self, progress: float) -> float:
        """The noise level when a share ``progress`` (0..1) of the network's timesteps, from pure noise, has passed."""

    @abstractmethod
    def alpha(self, sigma: float) -> float:
        """Weight of the clean latents in a state."""

    @abstractmethod
    def add_noise(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """The state of ``clean`` at ``sigma`` with ``noise`` of unit variance."""

    @abstractmethod
    def start(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """The state that a run starts from: :meth:`add_noise`, with the kind's rule for a start from pure noise."""

    @abstractmethod
    def finish(self, x: Tensor, sigma: float) -> Tensor:
        """A state at the last sigma of a run, in units of clean latents; any remaining noise stays in it."""

    @abstractmethod
    def scaled_input(self, x: Tensor, sigma: float) -> Tensor:
        """The network's input for a state."""

    @abstractmethod
    def denoised(self, output: Tensor, x: Tensor, sigma: float) -> Tensor:
        """Clean latents from the network's ``output`` for state ``x`` (unscaled), in the dtype of ``x``."""

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        """The smallest noise level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        """The largest noise level."""
        return self.sigmas[-1]

    def noise_to_signal(self, sigma: float) -> float:
        """sigma / alpha(sigma): the noise level of the same latents on a variance exploding path."""
        alpha = self.alpha(sigma)
        return sigma / alpha if alpha else math.inf

    @abstractmethod
    def sigma_of_noise_to_signal(self, ratio: float) -> float:
        """The noise level with that :meth:`noise_to_signal`."""

    def noise_level(self, sigma: float) -> float:
        """Share of the noise in a state, sigma / (alpha + sigma): 0 is clean, 1 pure noise, on any path."""
        return sigma / (self.alpha(sigma) + sigma)

    def half_log_snr(self, sigma: float) -> float:
        """lambda = ln(alpha / sigma), in which exponential integrators are written (arXiv 2206.00927)."""
        return -math.log(self.noise_to_signal(sigma))


@dataclass(frozen=True, eq=False)
class VarianceExploding(NoisePath):
    """State = clean + sigma * noise, over the noise table of a network that predicts

    - ``eps``: the noise (Ho et al. 2020, arXiv 2006.11239);
    - ``v``: alpha * noise - sigma_vp * x0 (Salimans and Ho 2022, arXiv 2202.00512);
    - ``x0``: the clean latents (diffusers calls it "sample").

    The network sees x / sqrt(sigma^2 + 1), which has the variance of its training (variance preserving).
    """

    table: NoiseTable
    prediction: PredictionType = "eps"
    variance_exploding: ClassVar[bool] = True

    @classmethod
    def stable_diffusion(cls, prediction: PredictionType = "eps") -> VarianceExploding:
        """Stable Diffusion 1 and 2 without motion layers."""
        return cls(NoiseTable.stable_diffusion(), prediction)

    @classmethod
    def animatediff(cls, prediction: PredictionType = "eps") -> VarianceExploding:
        """Stable Diffusion with AnimateDiff's motion modules."""
        return cls(NoiseTable.animatediff(), prediction)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """See :class:`NoisePath`."""
        return self.table.sigmas

    def timestep(self, sigma: float) -> int:
        """Index of the table's sigma nearest in ln sigma."""
        return self.table.timestep(sigma)

    def sigma(self, timestep: float) -> float:
        """Interpolated in ln sigma; see :meth:`NoiseTable.sigma`."""
        return self.table.sigma(timestep)

    def sigma_at(self, progress: float) -> float:
        """See :class:`NoisePath`."""
        return self.table.sigma((1 - progress) * (len(self.table) - 1))

    def alpha(self, sigma: float) -> float:
        """Always 1."""
        return 1.0

    def sigma_of_noise_to_signal(self, ratio: float) -> float:
        """The ratio itself."""
        return ratio

    def add_noise(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """clean + sigma * noise."""
        return clean + sigma * noise

    def start(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Like :meth:`add_noise`; from the largest sigma on, noise of variance 1 + sigma^2 replaces the signal."""
        full = sigma >= self.sigma_max * (1 - 1e-5)
        return self.add_noise(clean, noise, math.sqrt(1 + sigma * sigma) if full else sigma)

    def finish(self, x: Tensor, sigma: float) -> Tensor:
        """The state itself."""
        return x

    def scaled_input(self, x: Tensor, sigma: float) -> Tensor:
        """x / sqrt(sigma^2 + 1)."""
        return x / math.sqrt(sigma * sigma + 1)

    def denoised(self, output: Tensor, x: Tensor, sigma: float) -> Tensor:
        """See :class:`NoisePath`."""
        output = output.to(x.dtype)
        match self.prediction:
            case "eps":
                return x - sigma * output
            case "v":
                return x / (sigma * sigma + 1) - output * (sigma / math.sqrt(sigma * sigma + 1))
            case "x0":
                return output


@dataclass(frozen=True)
class RectifiedFlow(NoisePath):
    """State = (1 - sigma) * clean + sigma * noise; the network predicts the velocity noise - clean.

    ``shift`` bends timesteps towards noise: sigma(t) = shift * t / (1 + (shift - 1) * t) for t in 0..1 (Esser et al.
    2024, arXiv 2403.03206, eq. 23). ``entries``: number of tabulated noise levels; ``timesteps``: the network's input
    at sigma 1.

    As in ComfyUI, :meth:`timestep` does not remove the shift that :meth:`sigma` applies, so they are inverse to each
    other only for shift 1.
    """

    shift: float
    entries: int = 1000
    timesteps: float = 1000.0
    noise_seed_offset: ClassVar[int] = 1
    whole_brownian: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise SettingsError(f"shift is {self.shift}; it must be a number above 0.")

    @classmethod
    def wan(cls, shift: float = 8.0) -> RectifiedFlow:
        """Wan 2.1 and 2.2: 1000 timesteps."""
        return cls(shift)

    @classmethod
    def ltx(cls, exponent: float = 2.37) -> RectifiedFlow:
        """LTX-Video: shift e^``exponent`` (Flux's form of it), and the network's input is sigma itself."""
        return ExponentialShift(math.exp(exponent), 10000, 1.0)

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        """See :class:`NoisePath`."""
        times = torch.arange(1, self.entries + 1, dtype=torch.float32) / self.entries
        return tuple(self._shifted(times).tolist())

    def _shifted(self, time: T) -> T:
        return self.shift * time / (1 + (self.shift - 1) * time)

    def timestep(self, sigma: float) -> float:
        """sigma times ``timesteps``."""
        return sigma * self.timesteps

    def sigma(self, timestep: float) -> float:
        """The shifted share of ``timesteps``, in float32."""
        if timestep <= 0:
            return 0.0
        return float(self._shifted(torch.tensor(timestep / self.timesteps, dtype=torch.float32)))

    def sigma_at(self, progress: float) -> float:
        """1 at the start, 0 at the end."""
        return self._shifted(1 - progress) if progress < 1 else 0.0

    def alpha(self, sigma: float) -> float:
        """1 - sigma."""
        return 1 - sigma

    def sigma_of_noise_to_signal(self, ratio: float) -> float:
        """ratio / (1 + ratio)."""
        return ratio / (1 + ratio)

    def add_noise(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """(1 - sigma) * clean + sigma * noise."""
        return sigma * noise + (1 - sigma) * clean

    def start(self, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Same as :meth:`add_noise`; at sigma 1, nothing of the clean latents is left."""
        return self.add_noise(clean, noise, sigma)

    def finish(self, x: Tensor, sigma: float) -> Tensor:
        """x / (1 - sigma)."""
        return x / (1 - sigma)

    def scaled_input(self, x: Tensor, sigma: float) -> Tensor:
        """The state itself."""
        return x

    def denoised(self, output: Tensor, x: Tensor, sigma: float) -> Tensor:
        """x - sigma * velocity."""
        return x - sigma * output.to(x.dtype)


class ExponentialShift(RectifiedFlow):
    """The same shift in Flux's form: sigma(t) = e^m / (e^m + 1/t - 1) with e^m = ``shift``.

    It rounds differently in float32: the last entry can be slightly below 1, which some samplers test.
    """

    def _shifted(self, time: T) -> T:
        return self.shift / (self.shift + (1 / time - 1))
