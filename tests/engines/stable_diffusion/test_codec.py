"""A VAE that overflows: run again in float32, or an error."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.errors import ModelError
from tests.engines.coding import decoded, encoded

CROPS = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)


class Overflowing(nn.Module):
    """A VAE of a factor of one that scales by ``gain`` and back: in float16 what exceeds 65504 is infinite."""

    def __init__(self, gain: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = SimpleNamespace(scaling_factor=1.0, block_out_channels=(1,))
        self.gain = nn.Parameter(torch.tensor(gain, dtype=dtype), requires_grad=False)

    @property
    def dtype(self) -> torch.dtype:
        return self.gain.dtype

    @property
    def device(self) -> torch.device:
        return self.gain.device

    def there_and_back(self, x: Tensor) -> Tensor:
        assert x.dtype == self.dtype
        return x * self.gain * self.gain / self.gain / self.gain

    def encode(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: self.there_and_back(images)))

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.there_and_back(latents))


@torch.inference_mode()
def round_trip(codec: VaeCodec) -> np.ndarray:
    return decoded(codec, encoded(codec, CROPS), CROPS)


def test_a_vae_that_overflows_in_half_precision_is_run_again_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    vae = Overflowing(1000.0, torch.float16)
    codec = VaeCodec(vae, frames_per_batch=2)
    result = round_trip(codec)
    np.testing.assert_allclose(result, CROPS, atol=1e-6)
    assert vae.dtype == torch.float16
    assert caplog.messages == [
        "The VAE overflowed in float16 and was run again in float32; set vae-dtype to float32 to run it only once."
    ]
    np.testing.assert_array_equal(round_trip(codec), result)


def test_one_that_does_not_overflow_stays_in_half_precision(caplog: pytest.LogCaptureFixture) -> None:
    result = round_trip(VaeCodec(Overflowing(2.0, torch.float16)))
    assert 1e-5 < np.abs(result - CROPS).max() < 1e-3  # the eleven bits of float16
    assert not caplog.messages


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_one_that_overflows_in_float32_too_is_an_error(dtype: torch.dtype) -> None:
    codec = VaeCodec(Overflowing(float("inf"), dtype))
    with pytest.raises(ModelError, match="not finite numbers, even in float32; use another VAE"):
        encoded(codec, CROPS)
    with pytest.raises(ModelError, match="not finite numbers, even in float32"):
        decoded(codec, torch.rand(3, 3, 8, 8), CROPS)
