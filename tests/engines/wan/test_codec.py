"""Wan's VAE in pieces gives what it gives at once, in the units of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from redetail.engines.base import CropSource
from redetail.engines.wan.codec import WanCodec
from redetail.errors import ModelError
from redetail.geometry.latent_grid import WAN
from tests.engines.thin_wan import pipeline_parts


@pytest.fixture(scope="module")
def vae() -> Any:
    return pipeline_parts()["vae"].requires_grad_(False)


def crops(frames: int) -> CropSource:
    return CropSource.of(np.random.default_rng(2).random((frames, 16, 24, 3), dtype=np.float32))


def nothing() -> None:
    """A tick that nobody counts."""


def test_encoding_is_the_vaes_own_mean_normalised(vae: Any) -> None:
    source = crops(9)
    video = torch.from_numpy(source.all()).permute(3, 0, 1, 2)[None] * 2 - 1
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    expected = (vae.encode(video).latent_dist.mode() - mean) / std
    torch.testing.assert_close(WanCodec(vae, WAN).encode(source, nothing), expected[0].movedim(1, 0))


def test_decoding_is_the_vaes_own(vae: Any) -> None:
    source, codec, written = crops(9), WanCodec(vae, WAN), {}
    latents = codec.encode(source, nothing)
    codec.decode(latents, source, written.__setitem__, nothing)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))
    video = vae.decode((latents * std + mean).movedim(0, 1)[None]).sample[0]
    expected = (video / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).numpy()
    assert [*written] == [0, 1, 5]
    np.testing.assert_allclose(np.concatenate([*written.values()]), expected, atol=1e-6)


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (2, 2), (5, 2), (6, 3)])
def test_calls_are_counted(vae: Any, frames: int, latents: int) -> None:
    codec, source, ticks, written = WanCodec(vae, WAN), crops(frames), [], []
    encoded = codec.encode(source, lambda: ticks.append(1))
    codec.decode(encoded, source, lambda _, pixels: written.append(len(pixels)), lambda: ticks.append(1))
    assert len(encoded) == latents
    assert len(ticks) == codec.calls(source.shape) == 2 * latents
    assert sum(written) == frames


def test_values_that_are_not_finite_are_an_error(vae: Any) -> None:
    codec = WanCodec(vae, WAN)
    with pytest.raises(ModelError, match="not finite numbers; use vae-dtype float32"):
        codec.decode(torch.full((1, 4, 2, 3), torch.nan), crops(1), lambda *_: None, nothing)
