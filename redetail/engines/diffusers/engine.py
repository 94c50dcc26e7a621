"""The standalone Stable Diffusion engine: a model folder becomes a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from pathlib import Path

from redetail.engines.base import Capabilities
from redetail.engines.device import Placement, memory_errors
from redetail.engines.diffusers.codec import VaeCodec
from redetail.engines.diffusers.network import MotionNetwork, TextGuidedModel, noise_table, prediction_of
from redetail.engines.diffusers.single import load_spec_parts
from redetail.engines.diffusers.text import TextConditioner
from redetail.engines.latent import LatentEngine
from redetail.engines.spec import ModelSpec
from redetail.sampling import sampler_names, scheduler_names

# What AnimateDiff's modules were trained on; their positions reach further, but motion suffers there.
TRAINED_FRAMES = 16


def load_diffusers_engine(model: ModelSpec | Path, placement: Placement) -> LatentEngine:
    """An engine from the files that a spec names, or from a model folder; nothing is downloaded.

    Raises :class:`~redetail.errors.ModelError` for files that cannot be used and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    spec = model if isinstance(model, ModelSpec) else ModelSpec(checkpoint=model)
    path = Path(spec.checkpoint or "")
    with memory_errors(f"the model {path}", placement, "use device cpu or dtype float16"):
        parts = load_spec_parts(spec, placement)
    table, kind = noise_table(parts.scheduler), prediction_of(parts.scheduler)
    codec = VaeCodec(parts.vae)
    guided = TextGuidedModel(
        MotionNetwork(parts.unet, table, kind), table, TextConditioner(parts.tokenizer, parts.text_encoder)
    )
    limit = parts.motion_limit
    capabilities = Capabilities(
        name=f"diffusers:{path.name}",
        size_multiple=codec.size_multiple,
        context_length=min(TRAINED_FRAMES, limit),
        samplers=sampler_names(),
        schedulers=scheduler_names(),
    )
    return LatentEngine(codec, guided, capabilities, placement, context_limit=limit)
