"""ComfyUI's own objects (model patcher, VAE, conditioning, pipe) around the toy network and codec of the recordings.

Imported only where ``comfy`` is: inside the tests and fixtures of this folder. The formulas are those of
tests/golden/README.md, sections 3 and 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import torch
from torch import Tensor, nn

from tests.recordings import GOLDEN

TOY = json.loads((GOLDEN / "node.json").read_text())["toy"]
BASE, REFINER = TOY["base"], TOY["refiner"]
POSITIVE, NEGATIVE = TOY["positive"], TOY["negative"]
# "f", which the recordings have as 1, is how much the frames differ for the network.
BLIND = {**BASE, "kn": 0.0, "f": 0.0}  # every frame by itself
REFINER_POSITIVE, REFINER_NEGATIVE = TOY["refiner_positive"], TOY["refiner_negative"]
CPU = torch.device("cpu")


class VideoFormat(comfy.latent_formats.LatentFormat):
    """Latents of clips, unscaled."""

    latent_channels = 4 * 3 * 64
    latent_dimensions = 3


class Weightless(nn.Module):
    """Stands where a network would: it has a data type and a weight to be moved about."""

    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)


class ToyModel(comfy.model_base.BaseModel):
    """The toy denoiser as a model of ComfyUI. ``seen`` are the shapes and sigmas of its calls.

    ``interfere``, where given, is called before each evaluation; it may raise.
    """

    def __init__(self, constants: dict[str, float], betas: str, latent_format: type | None = None) -> None:
        config = comfy.supported_models.SD15({"disable_unet_model_creation": True})
        config.sampling_settings = {"beta_schedule": "linear" if betas == "sd15" else "sqrt_linear"}
        if latent_format is not None:
            config.latent_format = latent_format()
        super().__init__(config, device=CPU)
        self.diffusion_model = Weightless()
        self.constants = constants
        self.seen: list[tuple[tuple[int, ...], float]] = []
        self.conditions: list[dict[str, Any]] = []
        self.interfere: Callable[[ToyModel], None] | None = None

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **others: Any,
    ) -> Tensor:
        if self.interfere is not None:
            self.interfere(self)
        self.seen.append((tuple(x.shape), float(t[0])))
        self.conditions.append({"control": control, **others})
        parts = len((transformer_options or {}).get("cond_or_uncond", (0,)))
        texts = c_crossattn.reshape(len(c_crossattn), -1).chunk(parts)
        return torch.cat([self.denoised(*part) for part in zip(x.chunk(parts), t.chunk(parts), texts, strict=True)])

    if not hasattr(comfy.model_base.BaseModel, "_apply_model"):  # before it was taken apart for wrappers
        apply_model = _apply_model

    def denoised(self, x: Tensor, sigmas: Tensor, texts: Tensor) -> Tensor:
        """(F, C, h, w), or a clip (1, C, F, h, w)."""
        sigma, text = float(sigmas[0]), [float(p) for p in texts[0]]
        if x.ndim == 5:
            x0 = torch.stack([toy_denoised(clip.movedim(1, 0), sigma, text, self.constants) for clip in x])
            return x0.movedim(1, 2)
        return toy_denoised(x, sigma, text, self.constants)


def toy_denoised(x: Tensor, sigma: float, p: Sequence[float], k: dict[str, float]) -> Tensor:
    """The clean latents that the toy sees in ``x`` (F, C, h, w), as an eps-predicting network would give them."""
    f, c, row, column = (
        torch.arange(n, dtype=torch.float64).reshape([-1 if axis == i else 1 for i in range(4)])
        for axis, n in enumerate(x.shape)
    )
    f = f * k.get("f", 1.0)
    mean = p[0] * torch.sin(0.9 * c + p[1] * row + p[2] * column + p[3] * f + k["q"])
    mean = k["A"] * (mean + 0.3 * torch.cos(0.5 * f - 0.7 * c + p[0]))
    rest = x.double() - mean
    gain = k["s2"] / (k["s2"] + sigma**2)
    before, after = torch.cat([rest[:1], rest[:-1]]), torch.cat([rest[1:], rest[-1:]])
    x0 = mean + gain * rest + k["kt"] * sigma / (1 + sigma) * torch.tanh(rest)
    x0 = x0 + k["kn"] * sigma**2 / (1 + sigma**2) * gain * ((before + after) / 2 - rest)
    eps = ((x.double() - x0) / sigma).float()
    return x - sigma * eps


class ToyAutoencoder(Weightless):
    """Means of 8x8 blocks and their luminance as the fourth channel; pixels are -1..1, channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def encode(self, pixels: Tensor) -> Tensor:
        self.calls.append(("encode", tuple(pixels.shape)))
        blocks = nn.functional.avg_pool2d(pixels, 8)
        luminance = (blocks * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        return 8 * torch.cat([blocks, luminance], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        self.calls.append(("decode", tuple(latents.shape)))
        return (latents[:, :3] / 8).repeat_interleave(8, 2).repeat_interleave(8, 3)


class LosslessAutoencoder(ToyAutoencoder):
    """Every pixel of an 8x8 block has a channel of its own: what is decoded unchanged is what was encoded."""

    def encode(self, pixels: Tensor) -> Tensor:
        self.calls.append(("encode", tuple(pixels.shape)))
        return 8 * nn.functional.pixel_unshuffle(pixels, 8)

    def decode(self, latents: Tensor) -> Tensor:
        self.calls.append(("decode", tuple(latents.shape)))
        return nn.functional.pixel_shuffle(latents, 8) / 8


class LosslessVideoAutoencoder(ToyAutoencoder):
    """The same for clips (1, 3, 4n+1, H, W), as Wan has them: the first frame alone, then every four in one latent."""

    def encode(self, pixels: Tensor) -> Tensor:
        self.calls.append(("encode", tuple(pixels.shape)))
        assert len(pixels) == 1
        assert pixels.shape[2] % 4 == 1, f"{pixels.shape[2]} frames are not on the grid"
        frames = nn.functional.pixel_unshuffle(pixels[0].movedim(1, 0), 8)
        groups = torch.cat([frames[:1].expand(3, -1, -1, -1), frames]).unflatten(0, (-1, 4))
        return groups.flatten(1, 2).movedim(0, 1)[None]

    def decode(self, latents: Tensor) -> Tensor:
        self.calls.append(("decode", tuple(latents.shape)))
        frames = latents[0].movedim(1, 0).unflatten(1, (4, -1)).flatten(0, 1)[3:]
        return nn.functional.pixel_shuffle(frames, 8).movedim(0, 1)[None]


def model_of(constants: dict[str, float] = BASE, betas: str = "animatediff") -> comfy.model_patcher.ModelPatcher:
    """The toy as users have a model. The network is ``.model``."""
    return comfy.model_patcher.ModelPatcher(ToyModel(constants, betas), load_device=CPU, offload_device=CPU)


def video_model(constants: dict[str, float] = BASE) -> comfy.model_patcher.ModelPatcher:
    """The toy over 5-D latents (clips, channels, frames, height, width)."""
    return comfy.model_patcher.ModelPatcher(
        ToyModel(constants, "sd15", VideoFormat), load_device=CPU, offload_device=CPU
    )


def vae_of(autoencoder: nn.Module | None = None) -> comfy.sd.VAE:
    """ComfyUI's VAE wrapper around a toy autoencoder; the network is ``.first_stage_model``."""
    weights = comfy.taesd.taesd.TAESD(latent_channels=4).state_dict()  # the smallest that the wrapper knows
    vae = comfy.sd.VAE(sd=weights, device=CPU, dtype=torch.float32)
    network = ToyAutoencoder() if autoencoder is None else autoencoder
    vae.first_stage_model = network
    vae.patcher = comfy.model_patcher.ModelPatcher(network, load_device=CPU, offload_device=CPU)
    vae.process_input = lambda image: 2 * image - 1
    vae.process_output = lambda image: ((image + 1) / 2).clamp(0, 1)
    return vae


def video_vae() -> comfy.sd.VAE:
    """A VAE with the frame grid of Wan's."""
    vae = vae_of(LosslessVideoAutoencoder())
    vae.latent_channels, vae.latent_dim = VideoFormat.latent_channels, 3
    vae.upscale_ratio = (lambda frames: max(0, frames * 4 - 3), 8, 8)
    if hasattr(vae, "upscale_index_formula"):  # the wrapper of late 2024 takes only a number for the way down
        vae.downscale_ratio = (lambda frames: max(0, (frames + 3) // 4), 8, 8)
        vae.upscale_index_formula, vae.downscale_index_formula = (4, 8, 8), (4, 8, 8)
    vae.memory_used_encode = vae.memory_used_decode = lambda shape, dtype: 1000
    return vae


def text(*p: float, **options: Any) -> list[list[Any]]:
    """A conditioning whose only token holds the toy's parameters."""
    return [[torch.tensor([[p]], dtype=torch.float32), {"pooled_output": torch.zeros(1, 8), **options}]]


def pipe(model: Any = None, vae: Any = None, positive: Any = None, negative: Any = None) -> tuple[Any, ...]:
    """A BASIC_PIPE of toys."""
    return (
        model_of() if model is None else model,
        object(),
        vae_of() if vae is None else vae,
        text(*POSITIVE) if positive is None else positive,
        text(*NEGATIVE) if negative is None else negative,
    )


def refiner_pipe(betas: str = "animatediff") -> tuple[Any, ...]:
    """The second model of the recordings."""
    return pipe(model_of(REFINER, betas), None, text(*REFINER_POSITIVE), text(*REFINER_NEGATIVE))
