"""The registry of samplers. To add a sampler, write one function and add one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from torch import Tensor

from redetail.errors import UnknownNameError
from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.adams import deis, gradient_estimation, ipndm, ipndm_v, lms
from redetail.sampling.samplers.base import Sampler, SamplerFunction, Step, Steps, cfg_pp
from redetail.sampling.samplers.dpm_multistep import dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde
from redetail.sampling.samplers.dpm_single import dpmpp_2s_ancestral, dpmpp_2s_ancestral_cfg_pp, dpmpp_sde
from redetail.sampling.samplers.dpm_solver import dpm_adaptive, dpm_fast
from redetail.sampling.samplers.er_sde import er_sde
from redetail.sampling.samplers.euler import euler, euler_ancestral, euler_ancestral_cfg_pp, euler_cfg_pp, lcm
from redetail.sampling.samplers.exp_heun import exp_heun_2_x0
from redetail.sampling.samplers.res import res_multistep
from redetail.sampling.samplers.runge_kutta import dpm_2, heun, heunpp2
from redetail.sampling.samplers.sa_solver import sa_solver
from redetail.sampling.samplers.scaled import scaled_steps
from redetail.sampling.samplers.seeds import seeds_2, seeds_3
from redetail.sampling.samplers.uni_pc import uni_pc, uni_pc_bh2

__all__ = ["SAMPLERS", "Sampler", "SamplerFunction", "Step", "Steps", "find_sampler", "sampler_names", "sampler_steps"]


def _calls(per_step: int, spared: int) -> Callable[[int], int]:
    """Calls for n steps: ``per_step`` for each, minus ``spared`` at the end, but at least one per step."""
    return lambda steps: max(per_step * steps - spared, steps)


N, N2, N3, N3HEUN = _calls(1, 0), _calls(2, 1), _calls(3, 2), _calls(3, 3)
KARRAS, DDIM, DDPM = "arXiv 2206.00364", "arXiv 2010.02502", "arXiv 2006.11239"
DPM, DPMPP, CFGPP = "arXiv 2206.00927", "arXiv 2211.01095", "arXiv 2406.08070"
DEIS, IPNDM_V, LCM = "arXiv 2204.13902", "arXiv 2312.00094", "arXiv 2310.04378"
RES, GRADIENT, ER_SDE = "arXiv 2308.02157", "arXiv 2306.04848", "arXiv 2309.06169"
SEEDS, SA, UNI_PC = "arXiv 2305.14267", "arXiv 2309.05019", "arXiv 2302.04867"
DPMPP_2M_HEUN = partial(dpmpp_2m_sde, correction="heun")
SA_PECE = partial(sa_solver, evaluate_corrected=True)
HAIRER, RECORDED = "Hairer, Norsett, Wanner, III.5", "recorded"


_ALL = (
    Sampler("euler", euler, 1, N, KARRAS),
    Sampler("euler_cfg_pp", euler_cfg_pp, 1, N, CFGPP, needs_path=True),
    Sampler("euler_ancestral", euler_ancestral, 1, N, DDIM, "plain", needs_path=True),
    Sampler("euler_ancestral_cfg_pp", euler_ancestral_cfg_pp, 1, N, CFGPP, "plain", needs_path=True),
    Sampler("heun", heun, 2, N2, KARRAS),
    Sampler("heunpp2", heunpp2, 1, N3HEUN, RECORDED),
    Sampler("exp_heun_2_x0", exp_heun_2_x0, 2, N2, RES, scaled=True),
    Sampler("exp_heun_2_x0_sde", partial(exp_heun_2_x0, eta=1.0), 2, N2, SEEDS, "plain", scaled=True),
    Sampler("dpm_2", dpm_2, 2, N2, DPM, drop_penultimate=True),
    Sampler("dpm_2_ancestral", partial(dpm_2, eta=1.0), 2, N2, DPM, "plain", drop_penultimate=True, needs_path=True),
    Sampler("lms", lms, 4, N, HAIRER),
    Sampler("dpm_fast", dpm_fast, 3, N, DPM),
    Sampler("dpm_adaptive", dpm_adaptive, 3, None, DPM),
    Sampler("dpmpp_2s_ancestral", dpmpp_2s_ancestral, 2, N2, DPMPP, "plain", needs_path=True),
    Sampler("dpmpp_2s_ancestral_cfg_pp", dpmpp_2s_ancestral_cfg_pp, 2, N2, CFGPP, "plain"),
    Sampler("dpmpp_sde", dpmpp_sde, 2, N2, DPMPP, "brownian", scaled=True),
    Sampler("dpmpp_sde_gpu", dpmpp_sde, 2, N2, DPMPP, "brownian", scaled=True),
    Sampler("dpmpp_2m", dpmpp_2m, 2, N, DPMPP),
    Sampler("dpmpp_2m_cfg_pp", partial(dpmpp_2m, evaluate=cfg_pp), 2, N, CFGPP),
    Sampler("dpmpp_2m_sde", dpmpp_2m_sde, 2, N, DPMPP, "brownian", scaled=True),
    Sampler("dpmpp_2m_sde_gpu", dpmpp_2m_sde, 2, N, DPMPP, "brownian", scaled=True),
    Sampler("dpmpp_2m_sde_heun", DPMPP_2M_HEUN, 2, N, DPMPP, "brownian_part", scaled=True),
    Sampler(
        "dpmpp_2m_sde_heun_gpu", partial(dpmpp_2m_sde, correction="heun"), 2, N, DPMPP, "brownian_part", scaled=True
    ),
    Sampler("dpmpp_3m_sde", dpmpp_3m_sde, 3, N, DPMPP, "brownian", scaled=True),
    Sampler("dpmpp_3m_sde_gpu", dpmpp_3m_sde, 3, N, DPMPP, "brownian", scaled=True),
    Sampler("ddpm", euler_ancestral, 1, N, DDPM, "plain"),
    Sampler("lcm", lcm, 1, N, LCM, "plain", needs_path=True),
    Sampler("ipndm", ipndm, 4, N, DEIS),
    Sampler("ipndm_v", ipndm_v, 2, N, IPNDM_V),
    Sampler("deis", deis, 3, N, DEIS),
    Sampler("res_multistep", res_multistep, 2, N, RES),
    Sampler("res_multistep_cfg_pp", partial(res_multistep, evaluate=cfg_pp), 2, N, RES),
    Sampler("res_multistep_ancestral", partial(res_multistep, eta=1.0), 2, N, RES, "plain"),
    Sampler("res_multistep_ancestral_cfg_pp", partial(res_multistep, eta=1.0, evaluate=cfg_pp), 2, N, RES, "plain"),
    Sampler("gradient_estimation", gradient_estimation, 1, N, GRADIENT),
    Sampler("gradient_estimation_cfg_pp", partial(gradient_estimation, evaluate=cfg_pp), 1, N, GRADIENT),
    Sampler("er_sde", er_sde, 3, N, ER_SDE, "plain", scaled=True),
    Sampler("seeds_2", seeds_2, 2, N2, SEEDS, "plain", scaled=True),
    Sampler("seeds_3", seeds_3, 3, N3, SEEDS, "plain", scaled=True),
    Sampler("sa_solver", sa_solver, 3, N, SA, "plain", needs_path=True, scaled=True),
    Sampler(
        "sa_solver_pece", partial(sa_solver, evaluate_corrected=True), 3, N2, SA, "plain", needs_path=True, scaled=True
    ),
    Sampler("ddim", euler, 1, N, DDIM, mask_seed_offset=1),
    Sampler("uni_pc", uni_pc, 3, N, UNI_PC, drop_penultimate=True),
    Sampler("uni_pc_bh2", uni_pc_bh2, 3, N, UNI_PC, drop_penultimate=True),
)

SAMPLERS: Mapping[str, Sampler] = MappingProxyType({sampler.name: sampler for sampler in _ALL})


def sampler_steps(
    sampler: Sampler, path: NoisePath, denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource
) -> Steps:
    """A sampler's steps down ``sigmas`` on a path, from the state ``x`` at the first of them."""
    function = partial(sampler.function, path=path) if sampler.needs_path else sampler.function
    if sampler.scaled and not path.variance_exploding:
        return scaled_steps(function, path, denoise, x, sigmas, noise)
    return function(denoise, x, sigmas, noise)


def sampler_names() -> tuple[str, ...]:
    """Names of all samplers."""
    return tuple(SAMPLERS)


def find_sampler(name: str) -> Sampler:
    """The sampler with this name; raises :class:`~redetail.errors.UnknownNameError`, which lists those that exist."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]
