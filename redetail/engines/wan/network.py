"""WanTransformer3DModel as a :class:`~redetail.engines.latent.LatentModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.latent import DenoiserFor
from redetail.engines.spec import WeightedFile
from redetail.engines.wan.lora import lora_mixer
from redetail.engines.wan.text import WanText
from redetail.sampling import Guidance, NoisePath, RectifiedFlow
from redetail.settings import Settings


class WanNetwork:
    """A WanTransformer3DModel as a :class:`~redetail.sampling.ConditionalModel` over text states (1, 512, width)."""

    def __init__(self, transformer: Any, path: NoisePath) -> None:
        self._transformer, self._path = transformer, path

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Tensor], /) -> list[Tensor]:
        """x0 (T, C, h, w) under each condition, one after the other: one clip fills a card."""
        rows = self._path.scaled_input(x, sigma).movedim(0, 1)[None].to(self._transformer.patch_embedding.weight.dtype)
        timestep = torch.tensor([self._path.timestep(sigma)], device=x.device)
        return [self._path.denoised(self._velocity(rows, timestep, text), x, sigma) for text in conditions]

    def _velocity(self, rows: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """(1, C, T, h, w) -> (T, C, h, w)."""
        states = text.to(rows.device, rows.dtype)
        output: Tensor = self._transformer(
            hidden_states=rows, timestep=timestep, encoder_hidden_states=states, return_dict=False
        )[0]
        return output[0].movedim(1, 0)


class WanModel:
    """A transformer, what makes text states of prompts, and the shift of the noise schedule where none is asked for.

    ``loras``: the model's own, which are always merged into the transformer.
    """

    def __init__(self, transformer: Any, text: WanText, shift: float, loras: Sequence[WeightedFile] = ()) -> None:
        self._transformer, self._text, self._shift = transformer, text, shift
        self._loras, self._mixer = tuple(loras), lora_mixer(transformer)
        self._mixer.use(self._loras)  # a file that cannot be used is refused before any work

    def noise_path(self, settings: Settings) -> NoisePath:
        """A rectified flow with the shift of the settings, or the model's own."""
        return RectifiedFlow.wan(settings.shift or self._shift)

    def check(self, settings: Settings) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for prompts that the text encoder cannot read, and
        :class:`~redetail.errors.ModelError` for LoRA that do not fit."""
        self._mixer.check([*map(WeightedFile.parse, settings.loras)])
        self._text.check(settings)

    def calls(self, frames: int, settings: Settings) -> int:
        """Network calls that ``condition`` takes: none, but for short ones of text."""
        return 0

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """Encode both prompts once, for all frames."""
        self._text.check(settings)
        self._mixer.use([*self._loras, *map(WeightedFile.parse, settings.loras)])
        network = WanNetwork(self._transformer, self.noise_path(settings))
        positive, negative = self._text(settings.prompt), self._text(settings.negative)
        return lambda frames: Guidance(network, positive, negative, settings.cfg)
