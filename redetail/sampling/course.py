"""How far a sampler has come, told from the noise level that it asks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from redetail.sampling.denoiser import Denoiser, Prediction, predict_both

# Samplers work out some sigmas anew in float32; so far they may fall short of the schedule's own.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Course:
    """The sigmas that a run goes down, one more than it has steps."""

    sigmas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of steps, at least 1."""
        return max(1, len(self.sigmas) - 1)

    def step(self, sigma: float) -> int:
        """The step, 0 to ``steps`` - 1, that evaluates at ``sigma``; what lies between two sigmas belongs to the first.

        Without a memory: samplers that look back or ahead get the same answer for the same sigma.
        """
        passed = sum(own >= sigma * (1 - _ROUNDING) for own in self.sigmas[1:-1])
        return min(passed, self.steps - 1)

    def within(self, sigma: float, start: float, end: float) -> bool:
        """Whether the step of ``sigma`` lies wholly between the shares ``start`` and ``end`` (0..1) of all steps."""
        step = self.step(sigma)
        return step / self.steps >= start and (step + 1) / self.steps <= end


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
