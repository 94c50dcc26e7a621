"""An oracle of our own: problems with a closed form, which no recording had a part in.

Order: the probability flow dx/dsigma = (x - D) / sigma with D = rho * x, rho = a * (u0 - u)^4 in u = ln sigma, has the
solution x = x0 * exp(u - u0 + a * (u0 - u)^5 / 5). It starts straight, so that the low order in which multistep methods
start does not hide their own; the error against the number of steps then falls with the order of the method.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.sampling import VarianceExploding, find_sampler, sampler_names
from redetail.sampling.samplers import Step, sampler_steps
from redetail.sampling.samplers.dpm_solver import dpm_adaptive

START, END = 10.0, 1.0
SPAN = math.log(START / END)
A = 1 / SPAN**4


def denoiser(x: Tensor, sigma: float) -> Tensor:
    return x * (A * (math.log(START) - math.log(sigma)) ** 4)


def solution(sigma: float) -> float:
    passed = math.log(START / sigma)
    return math.exp(-passed + A * passed**5 / 5)


def no_noise(sigma: float, sigma_next: float) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


Spacing = Callable[[int], list[float]]


def even_in_log(steps: int) -> list[float]:
    return np.geomspace(START, END, steps + 1).tolist()


def even(steps: int) -> list[float]:
    return np.linspace(START, END, steps + 1).tolist()


def curved(steps: int) -> list[float]:
    """Steps that change smoothly, evenly in no variable that a method is made for."""
    return (np.linspace(START ** (1 / 3), END ** (1 / 3), steps + 1) ** 3).tolist()


def walk(name: str, sigmas: list[float]) -> list[Step]:
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    return list(sampler_steps(find_sampler(name), VarianceExploding.stable_diffusion(), denoiser, x, sigmas, no_noise))


def order(name: str, spacing: Spacing, steps: int, before_end: int) -> float:
    """Measured order between ``steps`` and about twice as many, ``before_end`` steps before the end."""
    errors = []
    counts = (steps, 2 * steps + (name == "dpm_fast"))
    for count in counts:
        sigmas = spacing(count)
        index = -1 - before_end
        errors.append(abs(float(walk(name, sigmas)[index].x) / solution(sigmas[index]) - 1))
    return math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0])


CASES = [
    # name, spacing, steps, steps before the end, order expected
    ("euler", curved, 128, 0, 1),
    ("euler_cfg_pp", curved, 128, 0, 1),
    ("ddim", curved, 128, 0, 1),
    ("heun", curved, 64, 0, 2),
    ("heunpp2", curved, 64, 0, 1),  # its weights are not those of a quadrature
    ("dpm_2", curved, 64, 0, 2),
    ("exp_heun_2_x0", even_in_log, 128, 0, 2),
    ("lms", curved, 128, 0, 4),
    ("dpm_fast", curved, 143, 0, 3),  # 3k + 2 calls: with 3k or 3k + 1 the last step is of order 1
    ("dpmpp_2m", curved, 128, 0, 2),
    ("dpmpp_2m_cfg_pp", curved, 128, 0, 2),
    ("ipndm", even, 512, 0, 4),  # its weights are those of even steps
    ("ipndm", curved, 512, 0, 2),
    ("ipndm_v", curved, 512, 0, 2),  # three recorded terms depart from Adams-Bashforth
    ("deis", even_in_log, 128, 0, 3),
    ("res_multistep", curved, 128, 0, 2),
    ("res_multistep_cfg_pp", curved, 128, 0, 2),
    ("gradient_estimation", even_in_log, 256, 0, 1),  # weights 2, -1 extrapolate further than order 2 would
    ("gradient_estimation_cfg_pp", even_in_log, 256, 0, 1),
    ("uni_pc", even_in_log, 256, 2, 4),  # predictor of order 3; the corrector adds one
    ("uni_pc_bh2", even_in_log, 256, 2, 4),
    ("uni_pc", curved, 128, 0, 2),  # the last step is a predictor of order 1
]


@pytest.mark.parametrize(("name", "spacing", "steps", "before_end", "expected"), CASES)
def test_the_error_falls_with_the_order_of_the_method(
    name: str, spacing: Spacing, steps: int, before_end: int, expected: int
) -> None:
    # A quarter of an order: the next term of the error still shows at these numbers of steps.
    assert order(name, spacing, steps, before_end) == pytest.approx(expected, abs=0.25)


def test_every_deterministic_sampler_is_measured() -> None:
    deterministic = {name for name in sampler_names() if find_sampler(name).noise == "none"}
    assert deterministic - {case[0] for case in CASES} == {"dpm_adaptive"}


def test_the_adaptive_solver_obeys_its_tolerance() -> None:
    x, errors, calls = torch.ones(1, 1, 1, 1, dtype=torch.float64), [], []
    for rtol in (5e-3, 5e-4, 5e-5):
        steps = list(dpm_adaptive(denoiser, x, [START, END], no_noise, rtol=rtol, atol=rtol))
        errors.append(abs(float(steps[-1].x) / solution(END) - 1))
        calls.append(len(steps))
    assert all(error < rtol for error, rtol in zip(errors, (5e-3, 5e-4, 5e-5), strict=True))
    assert calls[0] < calls[1] < calls[2]


class Path:
    """Unit noise from one Brownian path that is asked for further and further down."""

    def __init__(self, like: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(11)
        self.known: dict[float, Tensor] = {}
        self.like, self.lowest = like, math.inf

    def at(self, sigma: float) -> Tensor:
        if not self.known:
            self.known[sigma], self.lowest = torch.zeros_like(self.like), sigma
        if sigma not in self.known:
            assert sigma < self.lowest
            more = torch.randn(self.like.shape, generator=self.generator, dtype=self.like.dtype)
            self.known[sigma] = self.known[self.lowest] + math.sqrt(self.lowest - sigma) * more
            self.lowest = sigma
        return self.known[sigma]

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        start = self.at(sigma)
        return (self.at(sigma_next) - start) / math.sqrt(sigma - sigma_next)


# lcm draws from its prediction, which needs a network distilled for that. dpmpp_2s_ancestral_cfg_pp, as recorded, mixes
# predictions of two places in a step.
OTHERS = {"lcm", "dpmpp_2s_ancestral_cfg_pp"}
GAUSSIAN = [name for name in sampler_names() if name not in OTHERS and not name.endswith("_gpu")]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_a_gaussian_stays_the_gaussian_it_should_be(name: str) -> None:
    """Data N(0, 1) have the denoiser x / (1 + sigma^2), and at every sigma the latents are N(0, 1 + sigma^2)."""
    sampler = find_sampler(name)
    path = VarianceExploding.stable_diffusion()
    sigmas = np.geomspace(10, 0.1, 160 if sampler.order == 1 else 48).tolist()
    start = torch.randn(1, 1, 100, 100, generator=torch.Generator().manual_seed(12), dtype=torch.float64)
    start = start / start.square().mean().sqrt() * math.sqrt(101)
    given = {"path": path} if sampler.needs_path else {}
    steps = sampler.function(lambda x, sigma: x / (1 + sigma**2), start, sigmas, Path(start), **given)
    *_, last = steps
    # Standard error of the variance of 10000 values 1.4%, and the error of the method. The adaptive one allows
    # itself 5% of every value, so 10% of a square.
    tolerance = 0.1 if name == "dpm_adaptive" else 0.06
    assert float(last.x.square().mean()) == pytest.approx(1.01, rel=tolerance)
    assert abs(float(last.x.mean())) < 0.05
