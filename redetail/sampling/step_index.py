"""Finds the step of a sampler from the noise level that it evaluates."""

from __future__ import annotations

from dataclasses import dataclass

# Samplers compute some sigmas again in float32; these may lie this far below those of the schedule.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class StepIndex:
    """Finds the step of a run to which a noise level belongs. ``sigmas``: those that the run visits, one more than its
    steps."""

    sigmas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of steps, at least 1."""
        return max(1, len(self.sigmas) - 1)

    def step(self, sigma: float) -> int:
        """The step, 0 to ``steps`` - 1, that evaluates at ``sigma``; values between two sigmas belong to the first.

        There is no state: samplers that look back or ahead get the same answer for the same sigma.
        """
        passed = sum(own >= sigma * (1 - _ROUNDING) for own in self.sigmas[1:-1])
        return min(passed, self.steps - 1)

    def within(self, sigma: float, start: float, end: float) -> bool:
        """Whether the step of ``sigma`` lies wholly between the shares ``start`` and ``end`` (0..1) of all steps."""
        step = self.step(sigma)
        return step / self.steps >= start and (step + 1) / self.steps <= end
