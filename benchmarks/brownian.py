"""What Brownian noise costs early and late in a long segment: `python benchmarks/brownian.py [--repeats 3]`.

16 frames of (4, 64, 64) latents at frame 0 and at frame 20,000, all 19 requests of 20 steps. Each run is a separate
process. Prints the least CPU time and the least growth of the process's peak memory among the repeats.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from itertools import pairwise

FRAMES, STEPS = 16, 20
STARTS = (0, 20_000)


def run(start: int) -> tuple[float, int]:
    """CPU seconds and growth of peak memory in KiB of one run."""
    import torch

    from redetail.sampling import VarianceExploding, schedule
    from redetail.sampling.brownian import BrownianNoise
    from redetail.sampling.noise import NoiseFrames

    torch.set_num_threads(1)
    sigmas = schedule("karras", VarianceExploding.animatediff(), STEPS)
    torch.randn(FRAMES, 4, 64, 64)  # what the first draw loads
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    noise = BrownianNoise(NoiseFrames((FRAMES, 4, 64, 64), 1, start), sigmas)
    for sigma, following in pairwise(sigmas[:-1]):
        noise(sigma, following)
    return time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def main() -> None:
    """Run both starts and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    least = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for start in STARTS:
            runs = [pool.apply(run, (start,)) for _ in range(repeats)]
            least[start] = [min(values) for values in zip(*runs, strict=True)]
            print(f"frame {start:6}: {least[start][0]:.2f} s, {least[start][1] / 1024:.0f} MiB")
    early, late = (least[start] for start in STARTS)
    print(f"late over early: time {late[0] / early[0]:.2f}, memory {late[1] / max(1, early[1]):.2f}")


if __name__ == "__main__":
    main()
