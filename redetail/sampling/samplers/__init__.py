"""The registry of samplers. A new sampler is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from redetail.errors import UnknownNameError
from redetail.sampling.samplers.adams import deis, gradient_estimation, ipndm, ipndm_v, lms
from redetail.sampling.samplers.base import Sampler, SamplerFunction, Step, Steps, cfg_pp
from redetail.sampling.samplers.dpm_multistep import dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde
from redetail.sampling.samplers.dpm_single import dpmpp_2s_ancestral, dpmpp_2s_ancestral_cfg_pp, dpmpp_sde
from redetail.sampling.samplers.dpm_solver import dpm_adaptive, dpm_fast
from redetail.sampling.samplers.er_sde import er_sde
from redetail.sampling.samplers.euler import euler, euler_ancestral, lcm
from redetail.sampling.samplers.res import res_multistep
from redetail.sampling.samplers.runge_kutta import dpm_2, heun, heunpp2
from redetail.sampling.samplers.sa_solver import sa_solver
from redetail.sampling.samplers.seeds import seeds_2, seeds_3
from redetail.sampling.samplers.uni_pc import uni_pc, uni_pc_bh2

__all__ = ["SAMPLERS", "Sampler", "SamplerFunction", "Step", "Steps", "find_sampler", "sampler_names"]


def _calls(per_step: int, spared: int) -> Callable[[int], int]:
    """Calls for n steps: ``per_step`` each, ``spared`` fewer at the end, at least one a step."""
    return lambda steps: max(per_step * steps - spared, steps)


N, N2, N3, N3HEUN = _calls(1, 0), _calls(2, 1), _calls(3, 2), _calls(3, 3)
KARRAS, DDIM, DDPM = "arXiv 2206.00364", "arXiv 2010.02502", "arXiv 2006.11239"
DPM, DPMPP, CFGPP = "arXiv 2206.00927", "arXiv 2211.01095", "arXiv 2406.08070"
DEIS, IPNDM_V, LCM = "arXiv 2204.13902", "arXiv 2312.00094", "arXiv 2310.04378"
RES, GRADIENT, ER_SDE = "arXiv 2308.02157", "arXiv 2306.04848", "arXiv 2309.06169"
SEEDS, SA, UNI_PC = "arXiv 2305.14267", "arXiv 2309.05019", "arXiv 2302.04867"
HAIRER, RECORDED = "Hairer, Norsett, Wanner, III.5", "recorded"


_ALL = (
    Sampler("euler", euler, 1, N, KARRAS),
    Sampler("euler_cfg_pp", partial(euler, evaluate=cfg_pp), 1, N, CFGPP),
    Sampler("euler_ancestral", euler_ancestral, 1, N, DDIM, "plain"),
    Sampler("euler_ancestral_cfg_pp", partial(euler_ancestral, evaluate=cfg_pp), 1, N, CFGPP, "plain"),
    Sampler("heun", heun, 2, N2, KARRAS),
    Sampler("heunpp2", heunpp2, 1, N3HEUN, RECORDED),
    Sampler("dpm_2", dpm_2, 2, N2, DPM, drop_penultimate=True),
    Sampler("dpm_2_ancestral", partial(dpm_2, eta=1.0), 2, N2, DPM, "plain", drop_penultimate=True),
    Sampler("lms", lms, 4, N, HAIRER),
    Sampler("dpm_fast", dpm_fast, 3, N, DPM),
    Sampler("dpm_adaptive", dpm_adaptive, 3, None, DPM),
    Sampler("dpmpp_2s_ancestral", dpmpp_2s_ancestral, 2, N2, DPMPP, "plain"),
    Sampler("dpmpp_2s_ancestral_cfg_pp", dpmpp_2s_ancestral_cfg_pp, 2, N2, CFGPP, "plain"),
    Sampler("dpmpp_sde", dpmpp_sde, 2, N2, DPMPP, "brownian"),
    Sampler("dpmpp_sde_gpu", dpmpp_sde, 2, N2, DPMPP, "brownian"),
    Sampler("dpmpp_2m", dpmpp_2m, 2, N, DPMPP),
    Sampler("dpmpp_2m_cfg_pp", partial(dpmpp_2m, evaluate=cfg_pp), 2, N, CFGPP),
    Sampler("dpmpp_2m_sde", dpmpp_2m_sde, 2, N, DPMPP, "brownian"),
    Sampler("dpmpp_2m_sde_gpu", dpmpp_2m_sde, 2, N, DPMPP, "brownian"),
    Sampler("dpmpp_2m_sde_heun", partial(dpmpp_2m_sde, correction="heun"), 2, N, DPMPP, "brownian_part"),
    Sampler("dpmpp_2m_sde_heun_gpu", partial(dpmpp_2m_sde, correction="heun"), 2, N, DPMPP, "brownian_part"),
    Sampler("dpmpp_3m_sde", dpmpp_3m_sde, 3, N, DPMPP, "brownian"),
    Sampler("dpmpp_3m_sde_gpu", dpmpp_3m_sde, 3, N, DPMPP, "brownian"),
    Sampler("ddpm", euler_ancestral, 1, N, DDPM, "plain"),
    Sampler("lcm", lcm, 1, N, LCM, "plain"),
    Sampler("ipndm", ipndm, 4, N, DEIS),
    Sampler("ipndm_v", ipndm_v, 2, N, IPNDM_V),
    Sampler("deis", deis, 3, N, DEIS),
    Sampler("res_multistep", res_multistep, 2, N, RES),
    Sampler("res_multistep_cfg_pp", partial(res_multistep, evaluate=cfg_pp), 2, N, RES),
    Sampler("res_multistep_ancestral", partial(res_multistep, eta=1.0), 2, N, RES, "plain"),
    Sampler("res_multistep_ancestral_cfg_pp", partial(res_multistep, eta=1.0, evaluate=cfg_pp), 2, N, RES, "plain"),
    Sampler("gradient_estimation", gradient_estimation, 1, N, GRADIENT),
    Sampler("gradient_estimation_cfg_pp", partial(gradient_estimation, evaluate=cfg_pp), 1, N, GRADIENT),
    Sampler("er_sde", er_sde, 3, N, ER_SDE, "plain"),
    Sampler("seeds_2", seeds_2, 2, N2, SEEDS, "plain"),
    Sampler("seeds_3", seeds_3, 3, N3, SEEDS, "plain"),
    Sampler("sa_solver", sa_solver, 3, N, SA, "plain", needs_path=True),
    Sampler("sa_solver_pece", partial(sa_solver, evaluate_corrected=True), 3, N2, SA, "plain", needs_path=True),
    Sampler("ddim", euler, 1, N, DDIM, mask_seed_offset=1),
    Sampler("uni_pc", uni_pc, 3, N, UNI_PC, drop_penultimate=True),
    Sampler("uni_pc_bh2", uni_pc_bh2, 3, N, UNI_PC, drop_penultimate=True),
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
