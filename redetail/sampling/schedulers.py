"""Schedules: the noise levels that a run of n steps visits.

A schedule is a list of sigmas that descends to a final 0. The names are those in ComfyUI's list, and give its numbers
down to float32 rounding, because a Brownian noise path depends on the last bit of the sigmas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch

from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling.path import NoisePath
from redetail.sampling.published import GITS_STEPS, align_your_steps, gits, gits_sigmas
from redetail.sampling.quantiles import symmetric_beta_quantiles
from redetail.sampling.typed import is_typed, parsed_sigmas, resampled

Schedule = Callable[[NoisePath, int], Sequence[float]]
"""(path, number of steps) -> descending sigmas that end with 0."""

Scheduler = str | Schedule | Sequence[float]
"""A scheduler's name, a function, or the sigmas themselves, which can also be text."""


_WHOLE = 0.9999  # a denoise from here on counts as 1, as in ComfyUI


def normal(path: NoisePath, steps: int) -> list[float]:
    """Evenly spaced timesteps from the last to the first."""
    return [*map(path.sigma, _timesteps(path, steps)), 0.0]


def sgm_uniform(path: NoisePath, steps: int) -> list[float]:
    """Evenly spaced timesteps that stop one step short of the first (Stability's generative-models)."""
    return [*map(path.sigma, _timesteps(path, steps + 1)[:-1]), 0.0]


def _timesteps(path: NoisePath, count: int) -> list[float]:
    """Evenly spaced timesteps, from that of the largest sigma to that of the smallest."""
    return torch.linspace(path.timestep(path.sigma_max), path.timestep(path.sigma_min), count).tolist()


def simple(path: NoisePath, steps: int) -> list[float]:
    """Every (1000/n)-th table entry from the last down."""
    stride = len(path) / steps
    return [*(path.sigmas[len(path) - 1 - int(k * stride)] for k in range(steps)), 0.0]


def karras(path: NoisePath, steps: int, rho: float = 7.0) -> list[float]:
    """Evenly spaced in sigma^(1/rho) (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    high, low = path.sigma_max ** (1 / rho), path.sigma_min ** (1 / rho)
    roots = high + torch.linspace(0, 1, steps) * (low - high)
    return [*(roots**rho).tolist(), 0.0]


def exponential(path: NoisePath, steps: int) -> list[float]:
    """Evenly spaced in ln sigma."""
    return [*torch.linspace(math.log(path.sigma_max), math.log(path.sigma_min), steps).exp().tolist(), 0.0]


def ddim_uniform(path: NoisePath, steps: int) -> list[float]:
    """Every floor(1000/n)-th table entry, counted from the second (Song et al. 2020, arXiv 2010.02502, section 4.2).

    It may have more than n steps, since the remainder of 1000/n adds some.
    """
    indices = range(1, len(path), max(len(path) // steps, 1))
    return [*(path.sigmas[index] for index in reversed(indices)), 0.0]


def beta(path: NoisePath, steps: int, shape: float = 0.6) -> list[float]:
    """Timesteps at even quantiles of Beta(0.6, 0.6): denser at both ends (Lee et al. 2024, arXiv 2407.12173).

    Timesteps that coincide count once, so it may have fewer than n steps.
    """
    timesteps = np.rint((len(path) - 1) * np.array(_falling_quantiles(steps, shape))).astype(int).tolist()
    return [*(path.sigmas[timestep] for timestep in dict.fromkeys(timesteps)), 0.0]


@lru_cache(maxsize=64)
def _falling_quantiles(steps: int, shape: float) -> tuple[float, ...]:
    """Cached, since each segment of a run asks for the same ones, and they take milliseconds."""
    return tuple(symmetric_beta_quantiles(1 - np.arange(steps) / steps, shape).tolist())


def linear_quadratic(path: NoisePath, steps: int, linear_end: float = 0.025) -> list[float]:
    """Falls by ``linear_end`` of 1/n a step over the first half, then quadratically (Movie Gen, arXiv 2410.13720)."""
    if steps == 1:
        return [path.sigma_max, 0.0]
    first = steps // 2
    second = steps - first
    bend = (first - linear_end * steps) / (first * second**2)
    rise = linear_end / first - 2 * (first - linear_end * steps) / second**2
    fallen = [index * linear_end / first for index in range(first)]
    fallen += [bend * index**2 + rise * index + bend * first**2 for index in range(first, steps)]
    return [*((1 - part) * path.sigma_max for part in fallen), 0.0]


def kl_optimal(path: NoisePath, steps: int) -> list[float]:
    """Evenly spaced in arctan sigma (Sabour et al. 2024, arXiv 2404.14507, section 3.1); one step starts at the top."""
    angles = torch.tensor([path.sigma_min, path.sigma_max]).atan()
    places = torch.linspace(0, 1, steps)
    return [*(places * angles[0] + (1 - places) * angles[1]).tan().tolist(), 0.0]


SCHEDULERS: Mapping[str, Schedule] = MappingProxyType(
    {
        "simple": simple,
        "sgm_uniform": sgm_uniform,
        "karras": karras,
        "exponential": exponential,
        "ddim_uniform": ddim_uniform,
        "beta": beta,
        "normal": normal,
        "linear_quadratic": linear_quadratic,
        "kl_optimal": kl_optimal,
        "AYS SDXL": partial(align_your_steps, name="SDXL"),
        "AYS SD1": partial(align_your_steps, name="SD1"),
        "AYS SVD": partial(align_your_steps, name="SVD"),
        "GITS[coeff=1.2]": partial(gits, coefficient=1.2),
    }
)


def scheduler_names() -> tuple[str, ...]:
    """Names of all schedulers. ``GITS[coeff=...]`` exists for further coefficients, see :func:`find_scheduler`."""
    return tuple(SCHEDULERS)


def flow_scheduler_names() -> tuple[str, ...]:
    """Names of the schedulers for rectified flows: all but the published tables, whose noise levels go beyond 1."""
    return tuple(name for name in SCHEDULERS if not name.startswith(("AYS", "GITS")))


def find_scheduler(name: str) -> Schedule:
    """The scheduler of that name.

    In addition to :func:`scheduler_names`, there are GITS with coefficients 0.8, 0.85 ... 1.5, and sigmas as text
    ("14.6, 7.2, 3.1, 0"), which are interpolated along their curve for other numbers of steps. Raises
    :class:`~redetail.errors.UnknownNameError`, which lists the known names, and :class:`~redetail.errors.SettingsError`
    for sigmas that do not descend.
    """
    if name in SCHEDULERS:
        return SCHEDULERS[name]
    if is_typed(name):
        sigmas = parsed_sigmas(name)
        return lambda path, steps: resampled(sigmas, steps)
    given = re.fullmatch(r"GITS\[coeff=(\d+(?:\.\d+)?)\]", name)
    if given is None:
        raise UnknownNameError("scheduler", name, SCHEDULERS)
    gits_sigmas(GITS_STEPS[0], float(given[1]))  # refuses a coefficient that the table does not have
    return partial(gits, coefficient=float(given[1]))


def schedule(scheduler: Scheduler, path: NoisePath, steps: int, *, drop_penultimate: bool = False) -> list[float]:
    """The whole schedule of ``steps`` steps.

    ``drop_penultimate`` is the rule of some two-call samplers: one more step is made, and the last non-zero sigma is
    removed. A function or a list, typed or not, is used as it is. Raises :class:`~redetail.errors.UnknownNameError` for
    an unknown name, and :class:`~redetail.errors.SettingsError` for sigmas that do not descend or are not finite.
    """
    if isinstance(scheduler, str) and is_typed(scheduler):
        sigmas = list(find_scheduler(scheduler)(path, steps))
    elif isinstance(scheduler, str):
        sigmas = list(find_scheduler(scheduler)(path, steps + drop_penultimate))
        if drop_penultimate:
            del sigmas[-2]
    else:
        sigmas = [float(sigma) for sigma in (scheduler(path, steps) if callable(scheduler) else scheduler)]
    sigmas = torch.tensor(sigmas, dtype=torch.float32).tolist()
    _check_falling(sigmas, scheduler if isinstance(scheduler, str) else "given")
    _check_range(sigmas, path)
    return sigmas


def step_range(steps: int, denoise: float) -> tuple[int, int]:
    """(start, total): a schedule of ``total`` = floor(steps / denoise) steps is entered after ``start`` steps.

    Raises :class:`~redetail.errors.SettingsError` unless steps >= 1 and 0 < denoise <= 1.
    """
    if steps < 1:
        raise SettingsError(f"steps is {steps}; it must be at least 1.")
    if not 0 < denoise <= 1:
        raise SettingsError(f"denoise is {denoise}; it must be above 0 and at most 1.")
    total = math.floor(steps / denoise)
    return total - steps, total


def sampled_sigmas(
    scheduler: Scheduler, path: NoisePath, steps: int, denoise: float, *, drop_penultimate: bool = False
) -> list[float]:
    """The part of the schedule that is sampled: its last ``steps`` steps.

    Empty if the schedule is shorter than that, since there is nothing to sample.
    """
    _, total = step_range(steps, denoise)
    return sampled_on(path, schedule(scheduler, path, total, drop_penultimate=drop_penultimate), steps, denoise)


def effective_noise_level(scheduler: Scheduler, path: NoisePath, steps: int, denoise: float) -> float:
    """The noise level, 0 (clean) to 1 (pure noise), that a run with this ``denoise`` starts from; 0 if it has no steps.

    On a rectified flow it depends on the shift much more than on ``denoise``: see :meth:`NoisePath.noise_level`.
    """
    sigmas = sampled_sigmas(scheduler, path, steps, denoise)
    return path.noise_level(sigmas[0]) if sigmas else 0.0


def denoise_for_noise_level(scheduler: Scheduler, path: NoisePath, steps: int, level: float) -> float:
    """The ``denoise`` with which a run of ``steps`` steps starts nearest to the noise level ``level``.

    Raises :class:`~redetail.errors.SettingsError` unless 0 < level <= 1.
    """
    start = partial(effective_noise_level, scheduler, path, steps)
    return denoise_for_start(start, steps, len(path), level)


def denoise_for_start(start: Callable[[float], float], steps: int, longest: int, level: float) -> float:
    """The denoise whose ``start`` (denoise -> noise level) is nearest to ``level``.

    A run enters a schedule of N >= ``steps`` steps, up to ``longest``; N is found by bisection, since longer schedules
    are entered at lower levels. Raises :class:`~redetail.errors.SettingsError` unless 0 < level <= 1.
    """
    if not 0 < level <= 1:
        raise SettingsError(f"strength is {level}; it must be above 0 and at most 1.")
    low, high = steps, max(longest, steps)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if start(steps / middle) >= level else (low, middle)
    return steps / min((low, high), key=lambda total: abs(start(steps / total) - level))


def sampled_on(path: NoisePath, whole: Sequence[float], steps: int, denoise: float) -> list[float]:
    """The part that a model with this path samples of a ``whole`` schedule of floor(steps / denoise) steps.

    There are two rules, which differ if a schedule has more or fewer steps than requested. On a rectified flow, steps
    are counted from the end, and a denoise of 1 takes them all, as in ComfyUI's KSampler. On other paths, they are
    counted from the start, as in the detailer nodes; see :func:`sampled_part`.
    """
    if path.variance_exploding:
        return sampled_part(whole, steps, denoise)
    return distinct(whole if denoise > _WHOLE else whole[-(steps + 1) :])


def sampled_part(whole: Sequence[float], steps: int, denoise: float) -> list[float]:
    """The sampled part of a ``whole`` schedule of floor(steps / denoise) steps: the last ``steps``, without repeats."""
    return distinct(part(whole, *step_range(steps, denoise)))


def refined_parts(
    base: Sequence[float], refiner: Sequence[float], steps: int, denoise: float, ratio: float
) -> tuple[list[float], list[float]]:
    """The parts of their schedules that a base model and a refiner sample.

    The refiner takes the last ``ratio`` of the steps; the base model leaves the noise of its last sigma. Either list is
    empty if that model has nothing to do. Raises :class:`~redetail.errors.SettingsError` unless 0 <= ratio <= 1.
    """
    if not 0 <= ratio <= 1:
        raise SettingsError(f"refiner-ratio is {ratio}; it must be between 0 and 1.")
    start, total = step_range(steps, denoise)
    split = start + math.floor(steps * (1 - ratio))
    return distinct(part(base, start, split, leftover_noise=True)), distinct(part(refiner, split, total))


def part(sigmas: Sequence[float], start: int, stop: int, *, leftover_noise: bool = False) -> list[float]:
    """Steps ``start`` to ``stop`` of a schedule; ends with 0 unless ``leftover_noise``. Empty if it ends before."""
    head = list(sigmas[: stop + 1])
    if len(head) < len(sigmas) and not leftover_noise:
        head[-1] = 0.0
    return head[start:] if start < len(head) - 1 else []


def distinct(sigmas: Sequence[float]) -> list[float]:
    """The list without repeated sigmas, which occur if there are more steps than the path has entries."""
    return [sigma for index, sigma in enumerate(sigmas) if index == 0 or sigma != sigmas[index - 1]]


def _check_range(sigmas: Sequence[float], path: NoisePath) -> None:
    """Refuse sigmas above 1 on a rectified flow."""
    if not path.variance_exploding and sigmas and sigmas[0] > 1:
        raise SettingsError(
            f"The sigmas start at {sigmas[0]:g}, but the noise levels of this model lie between 0 and 1; use sigmas "
            "or a scheduler for rectified flows."
        )


def _check_falling(sigmas: Sequence[float], name: str) -> None:
    if not all(math.isfinite(sigma) and sigma >= 0 for sigma in sigmas):
        raise SettingsError(f"The {name} schedule has a sigma that is negative or not a finite number: {sigmas}.")
    if len(sigmas) < 2 or any(a < b for a, b in pairwise(sigmas)):
        raise SettingsError(
            f"The {name} schedule must have at least two sigmas, each smaller than the one before, not {sigmas}."
        )
