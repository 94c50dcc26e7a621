"""The interface that samplers, wrappers and networks share: noisy latents and a sigma in, clean latents out.

Shapes: x and x0 (F, C, h, w); sigma is a plain float > 0, the standard deviation of the noise in x in model units, so
that looking up a timestep never waits for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from redetail.sampling.path import NoisePath

C_contra = TypeVar("C_contra", contravariant=True)


class Prediction(NamedTuple):
    """Clean latents of one evaluation: ``guided``, and ``negative`` for the negative condition."""

    guided: Tensor
    negative: Tensor


class Denoiser(Protocol):
    """Predicts clean latents."""

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 of shape (F, C, h, w) for noisy ``x`` of the same shape at noise level ``sigma``."""
        ...


@runtime_checkable
class GuidedDenoiser(Protocol):
    """A denoiser that can give the negative prediction as well, for the cfg_pp samplers."""

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """The guided x0."""
        ...

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """The guided x0 and the negative one, from one evaluation."""
        ...


class ConditionalModel(Protocol[C_contra]):
    """A network that predicts clean latents under conditions ``C`` (text, a crop ...) that only its engine knows."""

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[C_contra], /) -> Sequence[Tensor]:
        """x0 (F, C, h, w) under each condition, in one batched call where memory allows."""
        ...


def predict_both(denoiser: Denoiser, x: Tensor, sigma: float) -> Prediction:
    """Both predictions; for a denoiser without guidance, the negative one equals the prediction itself."""
    if isinstance(denoiser, GuidedDenoiser):
        return denoiser.predict(x, sigma)
    x0 = denoiser(x, sigma)
    return Prediction(x0, x0)


class SwitchingDenoiser:
    """One denoiser while ``early(sigma)`` is true, another afterwards."""

    def __init__(self, first: Denoiser, then: Denoiser, early: Callable[[float], bool]) -> None:
        self._first, self._then, self._early = first, then, early

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """The x0 of the denoiser whose turn it is."""
        return self._chosen(sigma)(x, sigma)

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """Both predictions of the denoiser whose turn it is."""
        return predict_both(self._chosen(sigma), x, sigma)

    def _chosen(self, sigma: float) -> Denoiser:
        return self._first if self._early(sigma) else self._then


class NetworkDenoiser:
    """A denoiser from a bare network ``(scaled input, timestep) -> output``."""

    def __init__(self, network: Callable[[Tensor, float], Tensor], path: NoisePath) -> None:
        self.network, self.path = network, path

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 (F, C, h, w)."""
        output = self.network(self.path.scaled_input(x, sigma), self.path.timestep(sigma))
        return self.path.denoised(output, x, sigma)
