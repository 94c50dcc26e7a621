"""WanTransformer3DModel as a :class:`~redetail.engines.latent.LatentModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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

ExpertAt = Callable[[float], Any]
"""Noise level -> the transformer that is used at it, on its device."""


class WanNetwork:
    """Transformers as a :class:`~redetail.sampling.ConditionalModel` over prompts."""

    def __init__(self, transformer_at: ExpertAt, path: NoisePath) -> None:
        self._transformer_at, self._path = transformer_at, path

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Prompt], /) -> list[Tensor]:
        """x0 (T, C, h, w) under each condition, one after another, since a single clip fills a GPU."""
        transformer = self._transformer_at(sigma)
        dtype = transformer.patch_embedding.weight.dtype
        rows = self._path.scaled_input(x, sigma).movedim(0, 1)[None].to(dtype)
        timestep = torch.tensor([self._path.timestep(sigma)], device=x.device)

        def velocity(text: Tensor) -> Tensor:
            """(1, C, T, h, w) -> (T, C, h, w)."""
            states = text.to(rows.device, rows.dtype)
            output: Tensor = transformer(
                hidden_states=rows, timestep=timestep, encoder_hidden_states=states, return_dict=False
            )[0]
            return output[0].movedim(1, 0)

        return [self._path.denoised(velocity(prompt.states), x, sigma) for prompt in conditions]


@dataclass
class Prompt:
    """A prompt that is encoded when it is first needed."""

    encode: Callable[[str], Tensor]
    text: str

    @cached_property
    def states(self) -> Tensor:
        """States of the text, (1, 512, width)."""
        return self.encode(self.text)


class Experts:
    """One transformer, or one for high noise and one that takes over below a ``boundary``, each with the LoRA that are
    always merged into it. With ``device``, only the transformer in use is there, and the other is in main memory."""

    def __init__(
        self,
        transformers: Sequence[Any],
        loras: Sequence[Sequence[WeightedFile]],
        *,
        boundary: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        self._transformers, self._loras = list(transformers), [tuple(one) for one in loras]
        self._boundary, self._device = boundary, device
        self._mixers = [lora_mixer(transformer) for transformer in transformers]
        self.use(())  # an unusable file is refused before any work

    def use(self, more: Sequence[WeightedFile]) -> None:
        """Also merge the LoRA of the settings, into the last expert, which does the detailing."""
        for mixer, own in zip(self._mixers, self._with(more), strict=True):
            mixer.use(own)

    def check(self, more: Sequence[WeightedFile]) -> None:
        """Raise what :meth:`use` would raise."""
        self._mixers[-1].check(more)

    def networks(self) -> dict[str, Any]:
        """The transformers by name in words."""
        if len(self._transformers) == 1:
            return {"transformer": self._transformers[0]}
        return dict(zip(("high-noise expert", "low-noise expert"), self._transformers, strict=True))

    def at(self, sigma: float) -> Any:
        """The transformer of this noise level."""
        number = 0 if sigma >= self._boundary else len(self._transformers) - 1
        chosen = self._transformers[number]
        if self._device is not None and len(self._transformers) > 1:
            self._transformers[1 - number].to("cpu")
            chosen.to(self._device)
        return chosen

    def _with(self, more: Sequence[WeightedFile]) -> list[list[WeightedFile]]:
        *first, last = self._loras
        return [*map(list, first), [*last, *more]]


class WanModel:
    """Transformers, the text encoder for prompts, and the default shift of the noise schedule."""

    def __init__(self, experts: Experts, text: WanText, shift: float) -> None:
        self._experts, self._text, self._shift = experts, text, shift

    def noise_path(self, settings: Settings) -> NoisePath:
        """A rectified flow with the shift of the settings, or the model's own."""
        return RectifiedFlow.wan(settings.shift or self._shift)

    def check(self, settings: Settings) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for prompts that the text encoder cannot read, and
        :class:`~redetail.errors.ModelError` for LoRA that do not fit."""
        self._experts.check([*map(WeightedFile.parse, settings.loras)])
        self._text.check(settings)

    def networks(self) -> dict[str, Any]:
        """The transformers and the text encoder, by name in words."""
        return {**self._experts.networks(), "text encoder": self._text.encoder}

    def text_states(self, prompt: str) -> Tensor:
        """(512, width): the text encoder's states for a prompt, with zeros after its last token."""
        return self._text(prompt)[0]

    def calls(self, frames: int, settings: Settings) -> int:
        """Network calls that ``condition`` takes: none, except for short ones of the text encoder."""
        return 0

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """Encode the prompt once for all frames, and the negative one if guidance needs it."""
        self._text.check(settings)
        self._experts.use([*map(WeightedFile.parse, settings.loras)])
        network = WanNetwork(self._experts.at, self.noise_path(settings))
        positive, negative = Prompt(self._text, settings.prompt), Prompt(self._text, settings.negative)
        for prompt in (positive,) if settings.cfg == 1 else (positive, negative):
            _ = prompt.states  # now, not while the transformer works
        return lambda frames: Guidance(network, positive, negative, settings.cfg)
