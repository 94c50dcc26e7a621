"""The standalone Stable Diffusion engine: a :class:`ModelSpec` becomes a
:class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from redetail.engines.architectures.base import Architecture
from redetail.engines.base import Capabilities, CropSource
from redetail.engines.device import Placement
from redetail.engines.latent import Codec, DenoiserFor, InpaintCondition, LatentEngine
from redetail.engines.offload import OffloadedCodec
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.engines.stable_diffusion.checkpoint import open_checkpoint
from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import Conditioner, PromptEncoder, StatesAlone, StatesWholeAndSize
from redetail.engines.stable_diffusion.control import load_controls
from redetail.engines.stable_diffusion.embedding import load_embeddings
from redetail.engines.stable_diffusion.lora_layers import lora_mixer
from redetail.engines.stable_diffusion.memory import OffloadedPromptEncoder, apply_modes
from redetail.engines.stable_diffusion.network import MotionNetwork, TextGuidedModel
from redetail.engines.stable_diffusion.noise import noise_table, prediction_of
from redetail.engines.stable_diffusion.text import TextConditioner
from redetail.errors import ModelError
from redetail.sampling import NoisePath, StepIndex, VarianceExploding, sampler_names, scheduler_names
from redetail.settings import Settings

# The number of frames that AnimateDiff's modules were trained on; they have more positions, but motion gets worse
# there.
TRAINED_FRAMES = 16


def load_stable_diffusion_engine(family: Architecture, spec: ModelSpec, placement: Placement) -> LatentEngine:
    """An engine of this family from the files that ``spec`` names.

    Raises :class:`~redetail.errors.ModelError` for files that cannot be used or do not fit one another, and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    components = load_components(spec, placement)
    model = _model(components, spec, placement)
    codec = _codec(components.vae, placement)
    refiner = None if spec.refiner_checkpoint is None else _refiner(spec, components, placement)
    longest = (TRAINED_FRAMES, components.motion_limit, placement.modes.window or TRAINED_FRAMES)
    capabilities = Capabilities(
        name=f"diffusers:{Path(spec.checkpoint or '').name}",
        size_multiple=codec.grid.spatial,
        context_length=min(longest),
        samplers=sampler_names(),
        schedulers=scheduler_names(),
        defaults=family.defaults,
        presets=family.presets,
        uses_loras="loras" in family.takes,
        has_vae=True,
        hints=tuple(dict.fromkeys(control.hint for control in spec.controls)),
    )
    return LatentEngine(codec, model, capabilities, placement, context_limit=components.motion_limit, refiner=refiner)


class LoraModel:
    """A latent model whose networks (UNet, text encoders) hold the model's own LoRA files and those of the settings
    while it is used."""

    def __init__(self, model: TextGuidedModel, networks: Sequence[Any], loras: Sequence[WeightedFile]) -> None:
        self._model, self._loras, self._networks = model, tuple(loras), tuple(networks)
        self._mixer = lora_mixer(*networks)
        self._mix(())  # an unusable file is refused before any work

    def networks(self) -> dict[str, Any]:
        """The UNet and the text encoders, by name in words."""
        names = ("UNet", "text encoder", "second text encoder")
        return dict(zip(names, self._networks, strict=False))

    def text_states(self, prompt: str) -> Tensor:
        """What the text encoders make of a prompt."""
        return self._model.text_states(prompt)

    def still(self) -> AbstractContextManager[None]:
        """Frames are denoised one by one while the context lasts."""
        return self._model.still()

    def noise_path(self, settings: Settings) -> NoisePath:
        """How noise is added for the model."""
        return self._model.noise_path(settings)

    def calls(self, frames: int, settings: Settings) -> int:
        """Network calls that ``condition`` takes: those of the model."""
        return self._model.calls(frames, settings)

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """The network's conditions, with the LoRA of these settings in it."""
        self._mix(settings.loras)
        return self._model.condition(crops, settings, tick)

    def controlled(
        self,
        crops: CropSource,
        settings: Settings,
        hints: Mapping[str, CropSource],
        index: StepIndex,
        inpaint: InpaintCondition,
    ) -> DenoiserFor:
        """Like ``condition``, with ControlNets."""
        self._mix(settings.loras)
        return self._model.controlled(crops, settings, hints, index, inpaint)

    def check(self, settings: Settings) -> None:
        """Raise what ``condition`` would raise for the LoRA and prompts of these settings."""
        self._mixer.check([*map(WeightedFile.parse, settings.loras)])
        self._model.check(settings)

    def _mix(self, more: Sequence[str]) -> None:
        self._mixer.use([*self._loras, *map(WeightedFile.parse, more)])


def _model(components: Components, spec: ModelSpec, placement: Placement) -> LoraModel:
    """The latent model of loaded components: text, ControlNets and LoRA around the network."""
    apply_modes(components, placement)
    path = VarianceExploding(
        noise_table(components.scheduler, components.family.betas), prediction_of(components.scheduler)
    )
    controls = load_controls(spec.controls, placement, components.unet.config)
    guided = TextGuidedModel(MotionNetwork(components.unet, path), _text(components, spec, placement), controls)
    return LoraModel(guided, (components.unet, *(text.encoder for text in components.texts)), spec.loras)


def _text(components: Components, spec: ModelSpec, placement: Placement) -> Conditioner:
    """The conditioner for prompts, with embeddings; encoders are offloaded one by one."""
    encoders: list[PromptEncoder] = []
    for text, layout in zip(components.texts, components.family.texts, strict=True):
        embeddings = load_embeddings(spec.embeddings, int(text.encoder.config.hidden_size), layout.vectors)
        one = TextConditioner(text.tokenizer, text.encoder, embeddings, normed=components.family.normed)
        encoders.append(OffloadedPromptEncoder(one, text.encoder, placement.device) if placement.modes.offload else one)
    return StatesWholeAndSize(encoders) if components.family.pooled else StatesAlone(encoders)


def _refiner(spec: ModelSpec, base: Components, placement: Placement) -> LoraModel:
    """The refiner: another checkpoint with the same motion module and text embeddings, without LoRA and ControlNets."""
    own = ModelSpec(
        checkpoint=spec.refiner_checkpoint,
        motion_module=spec.motion_module,
        motion_loras=spec.motion_loras,
        vae=spec.vae,
        embeddings=spec.embeddings,
    )
    family = open_checkpoint(own).family
    if family is not base.family:
        raise ModelError(
            f"The refiner {own.checkpoint} is a {family.name} model, but the checkpoint is a {base.family.name} model; "
            "use a refiner for the same base model."
        )
    components = load_components(own, placement)
    _check_refiner(base, components, own)
    return _model(components, own, placement)


def _check_refiner(base: Components, refiner: Components, spec: ModelSpec) -> None:
    """Refuse a refiner whose latents differ from those of the base model, since they are passed on unchanged."""
    facts = [
        (
            int(components.unet.config.out_channels),
            round(float(components.vae.config.scaling_factor), 5),
            round(float(getattr(components.vae.config, "shift_factor", None) or 0), 5),
        )
        for components in (base, refiner)
    ]
    if facts[0] != facts[1]:
        (channels, scale, _), (own, other, _) = facts
        raise ModelError(
            f"The refiner {spec.checkpoint} uses {own}-channel latents scaled by {other:g}, but the checkpoint "
            f"uses {channels}-channel latents scaled by {scale:g}; use a refiner for the same base model."
        )


def _codec(vae: Any, placement: Placement) -> Codec:
    modes = placement.modes
    codec = VaeCodec(vae, modes.vae_pixels, modes.vae_batch)
    return OffloadedCodec(codec, vae, placement.device) if modes.offload else codec
