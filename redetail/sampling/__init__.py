"""Sampling: from noisy latents to clean ones, with torch tensors in the k-diffusion convention.

A *denoiser* predicts the clean latents x0 from noisy ones; a *noise path* says how noise is added. Guidance, masks and
context windows each wrap a denoiser in another one; samplers see only the outermost and know nothing of the others.
Latents are (F, C, h, w) float32, with F frames, in *model units* (the VAE's output times its scaling factor).
"""

from redetail.sampling.denoiser import (
    ConditionalModel,
    Denoiser,
    GuidedDenoiser,
    NetworkDenoiser,
    Prediction,
    SwitchingDenoiser,
    predict_both,
)
from redetail.sampling.guidance import Guidance
from redetail.sampling.mask import DifferentialMask, MaskedDenoiser, snapped
from redetail.sampling.noise import initial_noise
from redetail.sampling.path import NoisePath, PredictionType, RectifiedFlow, VarianceExploding, prediction_type
from redetail.sampling.run import Handover, SamplingRequest, Stage, sample, sample_refined
from redetail.sampling.samplers import Sampler, find_sampler, sampler_names
from redetail.sampling.schedulers import effective_noise_level, sampled_sigmas, schedule, scheduler_names
from redetail.sampling.step_index import StepIndex
from redetail.sampling.table import NoiseTable
from redetail.sampling.windows import WindowedDenoiser

__all__ = [
    "ConditionalModel",
    "Denoiser",
    "DifferentialMask",
    "Guidance",
    "GuidedDenoiser",
    "Handover",
    "MaskedDenoiser",
    "NetworkDenoiser",
    "NoisePath",
    "NoiseTable",
    "Prediction",
    "PredictionType",
    "RectifiedFlow",
    "Sampler",
    "SamplingRequest",
    "Stage",
    "StepIndex",
    "SwitchingDenoiser",
    "VarianceExploding",
    "WindowedDenoiser",
    "effective_noise_level",
    "find_sampler",
    "initial_noise",
    "predict_both",
    "prediction_type",
    "sample",
    "sample_refined",
    "sampled_sigmas",
    "sampler_names",
    "schedule",
    "scheduler_names",
    "snapped",
]
