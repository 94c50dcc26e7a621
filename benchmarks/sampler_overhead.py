"""What a sampler costs in addition to the network: its own time per step, for latents (64, 4, 64, 64).

    python benchmarks/sampler_overhead.py [sampler ...] [--frames 64] [--steps 12] [--repeats 5] [--threads 2]

The network is replaced by one that returns a constant tensor immediately, so that only the sampler's arithmetic and its
noise remain. Prints the mean over the steps of each step's fastest repeat, in milliseconds, with the sampler's noise
and with given noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import fmean

import torch
from torch import Tensor

from redetail.sampling import VarianceExploding, find_sampler, sampler_names, schedule
from redetail.sampling.noise import BrownianNoise, NoiseFrames, NoiseSource, PlainNoise
from redetail.sampling.samplers import Sampler

PATH = VarianceExploding.animatediff()


def step_times(sampler: Sampler, x: Tensor, steps: int, source: Callable[[list[float]], NoiseSource]) -> list[float]:
    """Wall time of each step of one run, in milliseconds."""
    sigmas = schedule("karras", PATH, steps)
    x0 = torch.zeros_like(x)
    function = partial(sampler.function, path=PATH) if sampler.needs_path else sampler.function
    noise = source(sigmas)
    moments = [time.perf_counter()]
    for _ in function(lambda x, sigma: x0, x, sigmas, noise):
        moments.append(time.perf_counter())
    return [1000 * (after - before) for before, after in pairwise(moments)]


def milliseconds_a_step(measure: Callable[[], list[float]], repeats: int) -> float:
    """Mean over the steps of each step's fastest repeat, so that other work on the machine does not count."""
    return fmean(map(min, zip(*(measure() for _ in range(repeats)), strict=True)))


def real_noise(sampler: Sampler, shape: tuple[int, ...], sigmas: list[float]) -> NoiseSource:
    """The noise that the sampler draws in use."""
    frames = NoiseFrames(shape, 0)
    return BrownianNoise(frames, sigmas) if sampler.noise.startswith("brownian") else PlainNoise(frames)


def main() -> None:
    """Measure the named samplers, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samplers", nargs="*", default=[name for name in sampler_names() if not name.endswith("_gpu")])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x = torch.randn(options.frames, 4, 64, 64)
    ready = torch.randn_like(x)
    copy = min(_timed(lambda: x + ready) for _ in range(20))
    print(f"latents {tuple(x.shape)}, {options.threads} threads; one pass over them (x + y) takes {copy:.2f} ms")
    print(f"{'sampler':32} {'noise':14} {'ms a step':>10} {'noise given':>12}")
    for name in options.samplers:
        sampler = find_sampler(name)
        measure = partial(step_times, sampler, x, options.steps)
        given = milliseconds_a_step(partial(measure, lambda _: lambda a, b: ready), options.repeats)
        whole = given
        if sampler.noise != "none":
            source = partial(real_noise, sampler, tuple(x.shape))
            whole = milliseconds_a_step(partial(measure, source), min(options.repeats, 3))
        print(f"{name:32} {sampler.noise:14} {whole:10.2f} {given:12.2f}", flush=True)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
