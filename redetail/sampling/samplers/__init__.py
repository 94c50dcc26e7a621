"""The registry of samplers. A new sampler is one function and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from redetail.errors import UnknownNameError
from redetail.sampling.samplers.base import Sampler, SamplerFunction, Step, Steps
from redetail.sampling.samplers.dpm_multistep import dpmpp_2m, dpmpp_2m_sde
from redetail.sampling.samplers.euler import euler, euler_ancestral, lcm

__all__ = ["SAMPLERS", "Sampler", "SamplerFunction", "Step", "Steps", "find_sampler", "sampler_names"]


def _once(steps: int) -> int:
    return steps


_ALL = (
    Sampler(name="euler", function=euler, order=1, calls=_once, source="arXiv 2206.00364"),
    Sampler(
        name="euler_ancestral", function=euler_ancestral, order=1, calls=_once, source="arXiv 2010.02502", noise="plain"
    ),
    Sampler(name="dpmpp_2m", function=dpmpp_2m, order=2, calls=_once, source="arXiv 2211.01095"),
    Sampler(
        name="dpmpp_2m_sde", function=dpmpp_2m_sde, order=2, calls=_once, source="arXiv 2211.01095", noise="brownian"
    ),
    Sampler(name="lcm", function=lcm, order=1, calls=_once, source="arXiv 2310.04378", noise="plain"),
    Sampler(name="ddim", function=euler, order=1, calls=_once, source="arXiv 2010.02502", mask_seed_offset=1),
)

SAMPLERS: Mapping[str, Sampler] = MappingProxyType({sampler.name: sampler for sampler in _ALL})


def sampler_names() -> tuple[str, ...]:
    """Names of all samplers."""
    return tuple(SAMPLERS)


def find_sampler(name: str) -> Sampler:
    """The sampler of that name; raises :class:`~redetail.errors.UnknownNameError`, which lists those that exist."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]
