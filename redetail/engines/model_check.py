"""Checks whether files make a working model: a clip is encoded, noised at three levels, and predicted once.

A model with wrong or mixed-up parts loads and runs, but its output is noise or mush. Each measure here has a band that
contains the values of every correct model, whatever its family:

- **round trip**: decode(encode(clip)) resembles the clip.
- **latents**: their deviation is near one, as every latent diffusion model is trained on.
- **denoiser**: from latents + r * noise, a correct denoiser leaves a smaller error than the best single factor would.
  For latents of variance v, that error is v * r^2 / (v + r^2) (Wiener); the measure is the error in this unit.
- **nothing but noise**: from pure noise, a denoiser predicts little; this needs no VAE, so it shows which of the two is
  wrong.
- **text**: one word in two sentences has two meanings.

The bands come from theory and are wide, since there were no published weights to calibrate them with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from redetail.engines.base import CropSource, Pixels
from redetail.engines.latent import LatentEngine
from redetail.errors import ModelError
from redetail.geometry.context import Frames
from redetail.sampling import Denoiser, NoisePath, VarianceExploding, initial_noise
from redetail.settings import resolve

LEVELS = (0.1, 0.3, 0.7)
"""Shares of noise: little, as in detailing; a medium share; and more noise than clip."""
PROMPTS = ("a photo of a warm face", "a photo of a cold face")
"""Both have the same number of words, and end in the same word."""
_BLIND = 0.8
"""Share of noise in a state without a clip, within the range that a low-noise expert was trained on."""


@runtime_checkable
class HasNetworks(Protocol):
    """A latent model that shows its networks."""

    def networks(self) -> Mapping[str, nn.Module]:
        """Networks by name in words."""
        ...


@runtime_checkable
class ReadsText(Protocol):
    """A latent model that shows what its text encoder gives."""

    def text_states(self, prompt: str) -> Tensor:
        """(tokens, width), the last token last; rows of zeros after it do not count."""
        ...


@runtime_checkable
class HasMotion(Protocol):
    """A latent model whose motion layers can be passed over."""

    def still(self) -> AbstractContextManager[None]:
        """Frames are denoised one by one while the context lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A number and the band that a right model lies in."""

    name: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""

    @property
    def right(self) -> bool:
        """Whether the number lies in its band; what is not finite does not."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What was measured, in the order of the work, and what is wrong, in words; nothing if all is right."""

    measures: tuple[Measure, ...]
    faults: tuple[str, ...]


@torch.inference_mode()
def check_model(engine: LatentEngine, clip: Pixels) -> ModelCheck:
    """Measure a model on a clip (F, h, w, 3) float32 0..1 of at least a few frames, and name what is wrong with it."""
    frames = min(len(clip), engine.capabilities.context_length or len(clip))
    height, width = (side // engine.capabilities.size_multiple * engine.capabilities.size_multiple
                     for side in clip.shape[1:3])  # fmt: skip
    return _Check(engine, np.ascontiguousarray(clip[:frames, :height, :width])).run()


class _Check:
    """The work of :func:`check_model`."""

    def __init__(self, engine: LatentEngine, clip: Pixels) -> None:
        self._engine, self._clip, self._crops = engine, clip, CropSource.of(clip)
        self._settings = resolve({"prompt": "", "cfg": 1.0}, engine.capabilities.defaults)
        self._path: NoisePath = engine.model.noise_path(self._settings)
        self._measures: list[Measure] = []

    def run(self) -> ModelCheck:
        """Stop at the first part that fails: what comes after it would fail too."""
        for check in (self._weights, self._vae, self._text, self._denoiser):
            faults = tuple(check())
            if faults:
                return ModelCheck(tuple(self._measures), faults)
        return ModelCheck(tuple(self._measures), ())

    def _measured(
        self, name: str, value: float, low: float = -math.inf, high: float = math.inf, unit: str = ""
    ) -> bool:
        """Note a measure; whether it is right."""
        self._measures.append(Measure(name, value, low, high, unit))
        return self._measures[-1].right

    def _weights(self) -> Iterator[str]:
        """No layer of a trained network is all zeros, or not finite."""
        networks = self._engine.model.networks() if isinstance(self._engine.model, HasNetworks) else {}
        for words, network in networks.items():
            for name, weight in network.named_parameters():
                if weight.ndim < 2 or weight.is_meta:
                    continue
                low, high = weight.float().aminmax()
                if not (torch.isfinite(low) and torch.isfinite(high)):
                    yield (
                        f"The layer {name} of the {words} has values that are not finite: the file is damaged; copy or "
                        "download it again."
                    )
                    return
                if low == high == 0:
                    yield (
                        f"The layer {name} of the {words} is all zeros: the file is incomplete or badly converted; use "
                        "another one."
                    )
                    return

    def _vae(self) -> Iterator[str]:
        try:
            self._latents = self._engine.codec.encode(self._crops, lambda: None)
            back = self._decoded(self._latents)
        except ModelError as error:
            yield f"The VAE overflows or is damaged: {error}"
            return
        if not self._measured("VAE round trip", _psnr(back, self._clip), 18.0, unit="dB"):
            yield "The VAE does not reproduce its input: its weights are damaged or stored under the wrong names."
        elif not self._measured("deviation of the latents", float(self._latents.std()), 0.3, 3.0):
            yield (
                f"The standard deviation of the latents is {float(self._latents.std()):.2g} instead of about 1: the "
                "scale factor in the VAE's config belongs to another model."
            )

    def _decoded(self, latents: Tensor) -> Pixels:
        pieces: list[Pixels] = []
        self._engine.codec.decode(latents, self._crops, lambda _, pixels: pieces.append(pixels.copy()), lambda: None)
        return np.concatenate(pieces)

    def _text(self) -> Iterator[str]:
        """The end of two sentences that differ in one word before it."""
        if not isinstance(self._engine.model, ReadsText):
            return
        one, two = (_last(self._engine.model.text_states(prompt).float()) for prompt in PROMPTS)
        if not (torch.isfinite(one).all() and torch.isfinite(two).all()):
            yield "The text encoder produces values that are not finite: use text-dtype float32."
            return
        response = float((one - two).norm() / one.norm().clamp(min=1e-12))
        if not self._measured("response to a word", response, 1e-3, 1.5):
            yield (
                "The text encoder does not respond to words: it is truncated, or its weights are stored under the "
                "wrong names."
            )

    def _denoiser(self) -> Iterator[str]:
        denoise = self._denoise()
        states = [self._noisy(level) for level in LEVELS]
        predicted = [denoise(state, sigma) for state, sigma in states]
        if not all(torch.isfinite(x0).all() for x0 in predicted):
            yield f"The network overflows on {self._engine.placement}: use dtype float32 or bfloat16."
            return
        errors = self._errors(predicted)
        right = [
            self._measured(f"error at noise level {level:g}", error, 0.0, _BAND)
            for level, error in zip(LEVELS, errors, strict=True)
        ]
        blind = self._blind(denoise)
        if not all(right):
            yield self._named(states, predicted, blind)

    def _denoise(self) -> Denoiser:
        denoiser_for = self._engine.model.condition(self._crops, self._settings, lambda: None)
        every: Frames = slice(0, len(self._latents))
        return denoiser_for(every)

    def _noisy(self, level: float) -> tuple[Tensor, float]:
        noise = initial_noise(tuple(self._latents.shape), 0).to(self._latents)
        sigma = min(self._path.sigma_of_noise_to_signal(level / (1 - level)), self._path.sigma_max)
        return self._path.add_noise(self._latents, noise, sigma), sigma

    def _errors(self, predicted: list[Tensor]) -> list[float]:
        """Of each prediction, in units of what the best factor leaves."""
        variance = float(self._latents.var())
        wiener = [variance * ratio**2 / (variance + ratio**2) for ratio in (level / (1 - level) for level in LEVELS)]
        errors = [float((x0.float() - self._latents).square().mean()) for x0 in predicted]
        return [error / best for error, best in zip(errors, wiener, strict=True)]

    def _blind(self, denoise: Denoiser) -> bool:
        """Whether a state without a clip is denoised to little, as by a network that knows its own noise."""
        noise = initial_noise(tuple(self._latents.shape), 1).to(self._latents)
        sigma = min(self._path.sigma_of_noise_to_signal(_BLIND / (1 - _BLIND)), self._path.sigma_max)
        x0 = denoise(self._path.add_noise(torch.zeros_like(noise), noise, sigma), sigma).float()
        return self._measured("prediction from pure noise", float(x0.square().mean()), 0.0, 0.8)

    def _named(self, states: list[tuple[Tensor, float]], predicted: list[Tensor], blind: bool) -> str:
        """The fault of a denoiser, by what would be right instead."""
        for kind, convert in self._other_predictions():
            others = [convert(x0, x, sigma) for x0, (x, sigma) in zip(predicted, states, strict=True)]
            if all(error <= _BAND for error in self._errors(others)):
                return (
                    f"The network predicts {kind}, but its config or its weight file specifies another prediction "
                    "type; correct it there."
                )
        if isinstance(self._engine.model, HasMotion) and len(self._latents) > 1:
            with self._engine.model.still():
                denoise = self._denoise()
                alone = [denoise(x, sigma) for x, sigma in states]
            if all(error <= _BAND for error in self._errors(alone)):
                return "The model works without its motion layers, so the motion module belongs to another base model."
        if blind:
            return "The network can denoise, but not the latents of this VAE, so the VAE belongs to another model."
        return (
            "The network does not denoise: its weights are damaged, belong to another model, or are in the wrong "
            "places (mixed-up keys)."
        )

    def _other_predictions(self) -> Iterator[tuple[str, Callable[[Tensor, Tensor, float], Tensor]]]:
        """What the network may have predicted instead: how clean latents follow from what was taken for them."""
        if not isinstance(self._path, VarianceExploding):
            yield "clean latents", lambda x0, x, sigma: (x - x0) / sigma
            yield "the velocity with the opposite sign", lambda x0, x, sigma: 2 * x - x0
            return
        own = self._path
        for kind, words in (("eps", "the noise (eps)"), ("v", "v"), ("x0", "clean latents (x0)")):
            if kind != own.prediction:
                other = replace(own, prediction=kind)  # type: ignore[arg-type]  # one of the three
                yield words, lambda x0, x, sigma, other=other: other.denoised(_output(own, x0, x, sigma), x, sigma)  # type: ignore[misc]


_BAND = 1.15
"""A correct denoiser stays below 1; the margin is for rounding, and because a single clip says little."""


def _output(path: VarianceExploding, x0: Tensor, x: Tensor, sigma: float) -> Tensor:
    """What a network gave, from the clean latents that were made of it."""
    nothing, one = path.denoised(torch.zeros_like(x), x, sigma), path.denoised(torch.ones_like(x), x, sigma)
    return (x0 - nothing) / (one - nothing)


def _last(states: Tensor) -> Tensor:
    """The last token that is not padding."""
    used = states.abs().amax(1).nonzero()
    return states[int(used[-1])] if len(used) else states[-1]


def _psnr(one: Pixels, two: Pixels) -> float:
    """Ratio of the peak to the error in decibels; negative infinity where it is not finite."""
    error = float(np.square(one - two).mean())
    return -10 * math.log10(max(error, 1e-12)) if math.isfinite(error) else -math.inf
