"""Sampling: from noised latents to clean ones. Numbers in torch, in the k-diffusion convention.

A *denoiser* predicts the clean latents x0 from noisy ones, x = x0 + sigma * noise. Guidance, masks and context windows
wrap a denoiser into another; samplers see only the outermost and know of none. Latents are (F, C, h, w) float32,
F frames, in *model units* (what the VAE encodes times its scaling factor).
"""

from redetail.sampling.course import Course, SwitchingDenoiser
from redetail.sampling.denoiser import ConditionalModel, Denoiser, GuidedDenoiser, Prediction, predict_both
from redetail.sampling.guidance import Guidance
from redetail.sampling.mask import DifferentialMask, MaskedDenoiser, snapped
from redetail.sampling.noise import initial_noise
from redetail.sampling.prediction import NetworkDenoiser, scaled_input, to_denoised
from redetail.sampling.run import SamplingRequest, Stage, sample, sample_refined
from redetail.sampling.samplers import Sampler, find_sampler, sampler_names
from redetail.sampling.schedulers import sampled_sigmas, schedule, scheduler_names
from redetail.sampling.table import NoiseTable
from redetail.sampling.windows import WindowedDenoiser

__all__ = [
    "ConditionalModel",
    "Course",
    "Denoiser",
    "DifferentialMask",
    "Guidance",
    "GuidedDenoiser",
    "MaskedDenoiser",
    "NetworkDenoiser",
    "NoiseTable",
    "Prediction",
    "Sampler",
    "SamplingRequest",
    "Stage",
    "SwitchingDenoiser",
    "WindowedDenoiser",
    "find_sampler",
    "initial_noise",
    "predict_both",
    "sample",
    "sample_refined",
    "sampled_sigmas",
    "sampler_names",
    "scaled_input",
    "schedule",
    "scheduler_names",
    "snapped",
    "to_denoised",
]
