"""Every kind of prediction comes back to the same clean latents."""

import math

import pytest
import torch

from redetail.errors import UnknownNameError
from redetail.sampling import NetworkDenoiser, NoiseTable, scaled_input
from redetail.sampling.prediction import PredictionType, prediction_type


@pytest.mark.parametrize("sigma", [0.03, 1.0, 14.0])
@pytest.mark.parametrize("kind", ["eps", "v", "x0"])
def test_a_perfect_network_of_any_kind_gives_the_clean_latents(kind: PredictionType, sigma: float) -> None:
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, 4, 2, 2, generator=generator, dtype=torch.float64)
    table = NoiseTable.stable_diffusion()
    x = clean + sigma * noise
    alpha, spread = 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)

    def network(seen: torch.Tensor, timestep: int) -> torch.Tensor:
        assert timestep == table.timestep(sigma)
        torch.testing.assert_close(seen, alpha * clean + spread * noise)  # the forward process of the training
        return {"eps": noise, "v": alpha * noise - spread * clean, "x0": clean}[kind]

    torch.testing.assert_close(NetworkDenoiser(network, table, kind)(x, sigma), clean)


def test_the_input_keeps_its_variance() -> None:
    x = torch.full((1, 1, 1, 1), 5.0)
    assert scaled_input(x, 0.75).item() == pytest.approx(4.0)


def test_names_of_diffusers_are_understood() -> None:
    assert [prediction_type(name) for name in ("epsilon", "v_prediction", "sample")] == ["eps", "v", "x0"]
    with pytest.raises(UnknownNameError, match="epsilon"):
        prediction_type("flow")
