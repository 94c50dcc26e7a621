"""LatentEngine against recordings of the detailer node with a toy VAE and a toy network.

The toy codec and network are formulas that were recorded beside the numbers; crops are scaled as the recorded node
scaled them (8-bit Lanczos), so that every number inside the engine can be compared: clean latents, latent masks,
denoised latents, output pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from redetail.engines import LatentEngine, enhance_arrays
from redetail.engines.base import Capabilities, CropSource, Write
from redetail.engines.device import place
from redetail.engines.latent import DenoiserFor
from redetail.geometry.crop import working_size
from redetail.geometry.latent_grid import LatentGrid
from redetail.imaging.masks import feather, resize_mask
from redetail.region import Size
from redetail.sampling import Guidance, NoisePath, VarianceExploding, sampler_names, scheduler_names
from redetail.settings import Settings
from tests.recordings import GOLDEN, LATENT_SCALE

# Relative to the largest value; a few roundings of float32, amplified by the steps.
LATENT_TOLERANCE = 2e-5


@cache
def recorded() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    return json.loads((GOLDEN / "node.json").read_text()), load_file(GOLDEN / "node.safetensors")


def comparable(case: dict[str, Any]) -> bool:
    """Whether a case samples, records no defect, does not hang on rounding, and needs no scheduler function."""
    left_out = case["must_not_be_imitated"] or case.get("rounding_sensitive") or "scheduler_func" in case
    return bool(case["out"]) and not left_out


CASES = sorted(name for name, case in recorded()[0]["cases"].items() if comparable(case))


class ToyCodec:
    """Means of 8x8 blocks, and luminance as the fourth channel."""

    grid = LatentGrid(8)

    def __init__(self) -> None:
        self.scale = recorded()[0]["toy"]["vae_scale"] * LATENT_SCALE
        self.encoded: list[Tensor] = []
        self.decoded: list[Tensor] = []

    def calls(self, shape: tuple[int, ...]) -> int:
        return 0

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        frames, height, width, _ = crops.shape
        blocks = (
            torch.from_numpy(2 * crops.all() - 1).reshape(frames, height // 8, 8, width // 8, 8, 3).mean(dim=(2, 4))
        )
        luminance = blocks @ torch.tensor([0.299, 0.587, 0.114])
        latents = (
            recorded()[0]["toy"]["vae_scale"]
            * LATENT_SCALE
            * torch.cat([blocks, luminance[..., None]], dim=-1).movedim(-1, 1)
        )
        self.encoded.append(latents)
        return latents

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        self.decoded.append(latents)
        rgb = (
            (latents[:, :3] / LATENT_SCALE / recorded()[0]["toy"]["vae_scale"])
            .repeat_interleave(8, 2)
            .repeat_interleave(8, 3)
        )
        write(0, ((rgb + 1) / 2).clamp(0, 1).movedim(1, -1).numpy())


class ToyModel:
    """The toy denoiser, guided between two conditions p0..p3."""

    def __init__(self, constants: dict[str, float], positive: Sequence[float], negative: Sequence[float], table: str):
        self.constants = constants
        self.positive, self.negative = ([float(np.float32(p)) for p in each] for each in (positive, negative))
        self.path = VarianceExploding.stable_diffusion() if table == "sd15" else VarianceExploding.animatediff()

    def noise_path(self, settings: Settings) -> NoisePath:
        return self.path

    def calls(self, frames: int, settings: Settings) -> int:
        return 0

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        return lambda frames: Guidance(self, self.positive, self.negative, settings.cfg)

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Sequence[float]], /) -> list[Tensor]:
        return [self.denoised(x, sigma, p) for p in conditions]

    def denoised(self, x: Tensor, sigma: float, p: Sequence[float]) -> Tensor:
        k = self.constants
        f, c, row, column = (
            torch.arange(n, dtype=torch.float64).reshape([-1 if axis == i else 1 for i in range(4)])
            for axis, n in enumerate(x.shape)
        )
        mean = p[0] * torch.sin(0.9 * c + p[1] * row + p[2] * column + p[3] * f + k["q"])
        mean = k["A"] * (mean + 0.3 * torch.cos(0.5 * f - 0.7 * c + p[0]))
        rest = x.double() - mean
        gain = k["s2"] / (k["s2"] + sigma**2)
        before, after = torch.cat([rest[:1], rest[:-1]]), torch.cat([rest[1:], rest[-1:]])
        x0 = mean + gain * rest + k["kt"] * sigma / (1 + sigma) * torch.tanh(rest)
        return (x0 + k["kn"] * sigma**2 / (1 + sigma**2) * gain * ((before + after) / 2 - rest)).float()


def toy_engine(case: dict[str, Any]) -> tuple[LatentEngine, ToyCodec]:
    toy, asked = recorded()[0]["toy"], case["settings"]
    codec = ToyCodec()
    model = ToyModel(toy["base"], toy["positive"], toy["negative"], asked["model_sampling"])
    refiner = None
    if asked["refiner"]:
        conditions = toy["refiner_positive"], toy["refiner_negative"]
        refiner = ToyModel(toy["refiner"], *conditions, asked["model_sampling"])
    abilities = Capabilities(
        name="toy",
        size_multiple=8,
        context_length=None,
        samplers=sampler_names(),
        schedulers=scheduler_names(),
    )
    return LatentEngine(codec, model, abilities, place("cpu"), refiner=refiner, handover="composited"), codec


def node_settings(asked: dict[str, Any]) -> Settings:
    return Settings(
        seed=asked["seed"],
        steps=asked["steps"],
        cfg=asked["cfg"],
        sampler=asked["sampler_name"],
        scheduler=asked["scheduler"],
        denoise=asked["denoise"],
        mask_feather=asked["noise_mask_feather"],
        refiner_ratio=asked["refiner_ratio"],
    )


def lanczos(picture: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Cut to 8 bits and resized, as the recorded node did."""
    image = Image.fromarray((255 * picture).astype(np.uint8)).resize(
        (size.width, size.height), Image.Resampling.LANCZOS
    )
    return np.asarray(image, np.float32) / np.float32(255)


def seg_input(name: str, case: dict[str, Any], seg: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any], Size]:
    """Scaled crops (F, h, w, 3), scaled feathered mask (1 or F, h, w), and the size of the crop in the frame."""
    tensors = recorded()[1]
    frames = ((tensors["frames_u8"] + np.float32(0.7)) / np.float32(256)).astype(np.float32)
    if name == "single_frame":
        frames = frames[:1]
    zoom = frames.shape[1] / case["segs_header_hw"][0]
    x1, y1, x2, y2 = (int(zoom * value) for value in seg["crop_region"])
    bx1, by1, bx2, by2 = (int(zoom * value) for value in seg["bbox"])
    crops = frames[:, y1:y2, x1:x2]
    if seg["cropped_image"]:
        crops = np.repeat(tensors[seg["cropped_image"]] / np.float32(255), len(frames), axis=0)
    size, asked = Size(x2 - x1, y2 - y1), case["settings"]
    mask = np.atleast_3d(tensors[seg["mask"]].astype(np.float32).T).T / np.float32(255)
    mask = mask if zoom == 1 else resize_mask(mask, size)
    guided_by = "bbox" if asked["guide_size_for"] else "crop_region"
    work = working_size(size, (bx2 - bx1, by2 - by1), asked["guide_size"], guided_by, asked["max_size"])
    mask = resize_mask(feather(mask, asked["noise_mask_feather"]), work)
    return np.stack([lanczos(crop, work) for crop in crops]), mask, size


@pytest.mark.parametrize("name", CASES)
def test_the_engine_gives_the_recorded_numbers(name: str) -> None:
    meta, tensors = recorded()
    case = meta["cases"][name]
    settings = node_settings(case["settings"])
    stages = 2 if case["settings"]["refiner"] and case["settings"]["refiner_ratio"] < 1 else 1
    for index, seg in enumerate(case["segs"]):
        engine, codec = toy_engine(case)
        crops, mask, size = seg_input(name, case, seg)
        result = enhance_arrays(engine, crops, mask, settings)
        call = f"{name}.call{index * stages}"
        last = f"{name}.call{index * stages + stages - 1}"
        if f"{call}.latent" in tensors:
            close(codec.encoded[0] / LATENT_SCALE, tensors[f"{call}.latent"])
            close(codec.decoded[0], tensors[f"{last}.x0_model_space"])
            small = resize_mask(mask, Size(mask.shape[2] // 8, mask.shape[1] // 8))[:, None]
            # One rounding of each resize, and of the recorded blur.
            np.testing.assert_allclose(small, tensors[f"{call}.noise_mask_latent_res"], atol=5e-6)
        check_pixels(result, size, tensors[f"{name}.seg{index}.out_u8"], case["out"][index]["stored_frames"])


def close(actual: Tensor, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=LATENT_TOLERANCE * np.abs(expected).max())


def check_pixels(result: NDArray[np.float32], size: Size, expected: NDArray[np.uint8], frames: list[int]) -> None:
    """At most one grey level off in at most 0.5% of the values: where cutting to 8 bits meets a rounding."""
    out = np.stack([np.rint(255 * lanczos(result[frame], size)) for frame in frames])
    off = np.abs(out - expected)
    assert off.max() <= 1
    assert (off > 0).mean() <= 0.005
