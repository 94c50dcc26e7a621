"""Sampling through ComfyUI follows the rules of our own: the refiner's hand-over, and the noise of parts."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from redetail.comfy.sampling import ConditionedModel, LatentRequest, initial_noise, rediffused
from redetail.sampling.noise import NoiseFrames
from redetail.settings import Settings
from tests.recordings import LATENT_SCALE

STEADY = {"A": 1.0, "q": 0.0, "s2": 0.0, "kt": 0.0, "kn": 0.0}  # predicts its mean, whatever it sees
SHAPE = (3, 4, 6, 8)


def model(toys: ModuleType, constants: dict[str, float]) -> ConditionedModel:
    return ConditionedModel(toys.model_of(constants), toys.text(*toys.POSITIVE), toys.text(*toys.NEGATIVE))


def detailed(first: ConditionedModel, refiner: ConditionedModel | None, latents: Tensor, **chosen: Any) -> Tensor:
    handover = chosen.pop("handover", "carried")
    settings = Settings(**{"steps": 6, "denoise": 0.5, "cfg": 1.0, "seed": 3, **chosen})
    soft = torch.rand(3, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    noise = initial_noise(latents, 3)
    request = LatentRequest(settings=settings, latents=latents, noise=noise, mask=soft, handover=handover)
    with torch.inference_mode():
        return rediffused(first, refiner, request)


@pytest.mark.parametrize("feather", [0, 5])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "ddim", "dpm_fast", "uni_pc"])
@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0])
def test_models_that_predict_the_crop_change_nothing(
    toys: ModuleType, sampler: str, feather: int, ratio: float
) -> None:
    crop = toys.toy_denoised(torch.zeros(SHAPE), 1.0, toys.POSITIVE, STEADY) / LATENT_SCALE
    steady = model(toys, STEADY)
    out = detailed(steady, steady, crop, sampler=sampler, mask_feather=feather, refiner_ratio=ratio)
    torch.testing.assert_close(out, crop, rtol=0, atol=1e-5)  # rounding of the scale and of the blend


def test_the_rule_of_the_original_leaves_noise_in_the_feather(toys: ModuleType) -> None:
    crop = toys.toy_denoised(torch.zeros(SHAPE), 1.0, toys.POSITIVE, STEADY) / LATENT_SCALE
    steady = model(toys, STEADY)
    out = detailed(steady, steady, crop, mask_feather=5, refiner_ratio=0.5, handover="composited")
    assert (out - crop).abs().max() > 0.1


@pytest.mark.parametrize("feather", [0, 5])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_a_refiner_equal_to_the_base_goes_on_where_it_stopped(toys: ModuleType, feather: int, ratio: float) -> None:
    latents = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)) / LATENT_SCALE
    toy = model(toys, toys.BASE)
    given: dict[str, Any] = {"sampler": "euler", "mask_feather": feather, "cfg": 3.0}
    together, alone = detailed(toy, toy, latents, refiner_ratio=ratio, **given), detailed(toy, None, latents, **given)
    torch.testing.assert_close(together, alone, rtol=0, atol=3e-5 * float(alone.abs().max()))


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "lcm", "dpmpp_2m_sde", "dpmpp_sde"])
def test_a_part_gets_the_noise_of_the_whole(toys: ModuleType, sampler: str) -> None:
    blind = model(toys, toys.BLIND)  # every frame by itself
    settings = Settings(sampler=sampler, steps=4, denoise=0.5, cfg=1.0, seed=3)
    shape = (6, *SHAPE[1:])
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(2)) / LATENT_SCALE

    def run(first: int, stop: int) -> Tensor:
        part = latents[first:stop]
        place = NoiseFrames(tuple(part.shape), 3, first, len(latents))
        noise = initial_noise(part, 3, place)
        with torch.inference_mode():
            return rediffused(
                blind, None, LatentRequest(settings=settings, latents=part, noise=noise, mask=None, place=place)
            )

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5], rtol=0, atol=1e-5)
