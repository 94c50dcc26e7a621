"""UNetMotionModel as a :class:`~redetail.engines.latent.LatentModel`: text in, guided denoiser of any frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from redetail.engines.architectures.latent_diffusion import INPAINTING_CHANNELS
from redetail.engines.base import CropSource
from redetail.engines.latent import DenoiserFor, InpaintCondition
from redetail.engines.prompt import prompts_of
from redetail.engines.stable_diffusion.conditions import Conditioner, TextCondition, joined
from redetail.engines.stable_diffusion.control import Control, ShownControls, show
from redetail.geometry.context import Frames
from redetail.sampling import Guidance, NoisePath, StepIndex
from redetail.settings import Settings


class MotionNetwork:
    """A UNetMotionModel as a :class:`~redetail.sampling.ConditionalModel` over :class:`TextCondition`.

    ``path``: how noise is added for the network and what it predicts; ``controls``: its ControlNets; ``inpaint`` (F, 5,
    h, w): what an inpainting network reads after the latents. The last two are for the frames of a call.
    """

    def __init__(
        self,
        unet: Any,
        path: NoisePath,
        controls: ShownControls | None = None,
        inpaint: Tensor | None = None,
    ) -> None:
        self.path = path
        self._unet, self._controls, self._inpaint = unet, controls, inpaint

    @property
    def inpaints(self) -> bool:
        """Whether the network was trained to see the mask and what lies around it."""
        return int(self._unet.config.in_channels) == INPAINTING_CHANNELS

    @contextmanager
    def still(self) -> Iterator[None]:
        """While the context lasts, motion layers pass on their input."""
        motion = [module for module in self._unet.modules() if type(module).__name__ == "AnimateDiffTransformer3D"]
        hooks = [module.register_forward_hook(lambda _, given, made: given[0]) for module in motion]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def steered(self, controls: ShownControls, inpaint: Tensor | None = None) -> MotionNetwork:
        """The same network with these ControlNets, which see as many frames as it does."""
        return MotionNetwork(self._unet, self.path, controls, inpaint)

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[TextCondition], /) -> list[Tensor]:
        """x0 (F, C, h, w) under each condition; all conditions go through the network as one batch."""
        frames, batch = len(x), len(conditions)
        # The network wants (B, C, F, h, w), and the text of every frame of every row of the batch.
        rows = self.path.scaled_input(x, sigma).movedim(0, 1)[None].expand(batch, -1, -1, -1, -1).to(self._unet.dtype)
        text, added = joined(conditions, frames)
        inputs: dict[str, Any] = {
            "timestep": torch.tensor(self.path.timestep(sigma), device=x.device),
            "encoder_hidden_states": text.to(self._unet.dtype),
        }
        if added:
            inputs["added_cond_kwargs"] = added
        residuals = self._controls.residuals(rows, sigma, inputs) if self._controls is not None else {}
        if self._inpaint is not None:
            beside = self._inpaint.to(rows).movedim(0, 1)[None].expand(batch, -1, -1, -1, -1)
            rows = torch.cat([rows, beside], 1)
        output = self._unet(rows, **inputs, **residuals).sample
        return [self.path.denoised(row.movedim(1, 0), x, sigma) for row in output]


class TextGuidedModel:
    """A motion network, the conditioner for its prompts, and its ControlNets."""

    def __init__(self, network: MotionNetwork, text: Conditioner, controls: Sequence[Control] = ()) -> None:
        self._network, self._text, self._controls = network, text, controls

    def noise_path(self, settings: Settings) -> NoisePath:
        """How noise is added for the network, whatever the settings."""
        return self._network.path

    def check(self, settings: Settings) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for prompts that cannot be read with this model."""
        for prompt in prompts_of(settings).values():
            self._text.check(prompt, clip_skip=settings.clip_skip)

    def text_states(self, prompt: str) -> Tensor:
        """(tokens, width): the text encoders' states for a prompt."""
        return self._text.pair(prompt, "", (1, 64, 64, 3), clip_skip=1)[0].states[0]

    def still(self) -> AbstractContextManager[None]:
        """While the context lasts, frames are denoised one by one, because motion layers pass on their input."""
        return self._network.still()

    def calls(self, frames: int, settings: Settings) -> int:
        """Network calls that ``condition`` takes: none, except for short ones of the text encoders."""
        return 0

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """The conditions without ControlNets: only the text."""
        return self._guided(crops, settings, lambda _: self._network)

    def controlled(
        self,
        crops: CropSource,
        settings: Settings,
        hints: Mapping[str, CropSource],
        index: StepIndex,
        inpaint: InpaintCondition,
    ) -> DenoiserFor:
        """The conditions with ControlNets; see :class:`~redetail.engines.latent.ControlledModel`."""
        shown = show(self._controls, crops, hints, index)
        beside = inpaint() if self._network.inpaints else None

        def network_for(frames: Frames) -> MotionNetwork:
            return self._network.steered(shown.at(frames), None if beside is None else beside[frames])

        return self._guided(crops, settings, network_for)

    def _guided(
        self, crops: CropSource, settings: Settings, network_for: Callable[[Frames], MotionNetwork]
    ) -> DenoiserFor:
        """Encode both prompts once: one condition for all frames, or one for each frame if the prompt changes."""
        prompts = (settings.prompt, settings.negative)
        positive, negative = self._text.pair(*prompts, crops.shape, clip_skip=settings.clip_skip)
        return lambda frames: Guidance(network_for(frames), positive.at(frames), negative.at(frames), settings.cfg)
