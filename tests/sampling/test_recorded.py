"""Whole runs against the recorded vectors: every case whose sampler and scheduler exist here."""

from typing import Any

import pytest
import torch

from redetail.sampling import sample, sample_refined, sampler_names, scheduler_names
from tests.sampling.toy import LATENT_SCALE, TOLERANCE, latents, mask, recorded, request, stage, tensors, worst

# Amplifies rounding three times as much as the others: golden/SAMPLING.md, "Tolerances".
TOLERANCES = {"dpmpp_3m_sde": 1e-4, "dpmpp_3m_sde_gpu": 1e-4}


def comparable() -> list[str]:
    cases = recorded()["cases"].items()
    return [name for name, case in cases if "defect" not in case and known(case["settings"])]


def known(settings: dict[str, Any]) -> bool:
    return settings["sampler"] in sampler_names() and settings["scheduler"] in scheduler_names()


@pytest.mark.parametrize("name", comparable())
def test_the_result_and_the_number_of_model_calls_are_the_recorded_ones(name: str) -> None:
    case = recorded()["cases"][name]
    settings, counts = case["settings"], []
    assert not any(call.get("rounding_sensitive") for call in case["calls"])
    given: dict[str, Any] = {
        "mask": mask(settings),
        "differential": settings["differential_diffusion"],
        "on_call": lambda done, total: counts.append((done, total)),
    }
    base = stage(settings)
    if settings["refiner_ratio"] is None:
        result = sample(base.denoiser, latents(), base.path, request(settings), **given)
    else:
        refiner = stage(settings, "refiner")
        given["handover"] = "composited"
        result = sample_refined(base, refiner, latents(), request(settings), settings["refiner_ratio"], **given)
    assert worst(result / LATENT_SCALE, tensors()[f"{name}.out"]) < TOLERANCES.get(settings["sampler"], TOLERANCE)
    calls = sum(call["model_calls"] for call in case["calls"])
    assert [done for done, _ in counts] == list(range(1, calls + 1))


def test_one_step_at_the_smallest_sigma_is_taken_inside_the_mask() -> None:
    # The recorded run divides 0 by 0 there, closes the whole mask and changes nothing: not to be imitated.
    settings = recorded()["cases"]["edge/dd_one_step"]["settings"]
    base, soft = stage(settings), mask(settings)
    result = sample(base.denoiser, latents(), base.path, request(settings), mask=soft, differential=True)
    assert soft is not None
    outside = (soft == 0).expand_as(result)
    assert torch.equal(result[outside], latents()[outside])
    assert (result != latents())[~outside].float().mean() > 0.99
