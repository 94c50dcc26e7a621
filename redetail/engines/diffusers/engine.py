"""The standalone Stable Diffusion engine: a model folder becomes a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from pathlib import Path

from redetail.engines.base import Capabilities
from redetail.engines.device import Placement, memory_errors
from redetail.engines.diffusers.codec import VaeCodec
from redetail.engines.diffusers.folder import open_folder
from redetail.engines.diffusers.network import MotionNetwork, TextGuidedModel, noise_table, prediction_of
from redetail.engines.diffusers.parts import load_parts
from redetail.engines.diffusers.text import TextConditioner
from redetail.engines.latent import LatentEngine
from redetail.sampling import sampler_names, scheduler_names

# What AnimateDiff's modules were trained on; their positions reach further, but motion suffers there.
TRAINED_FRAMES = 16


def load_diffusers_engine(path: Path, placement: Placement) -> LatentEngine:
    """An engine from a model folder (see :mod:`redetail.engines.diffusers.folder`); nothing is downloaded.

    Raises :class:`~redetail.errors.ModelError` for a folder that cannot be used and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    folder = open_folder(path)
    table, kind = noise_table(folder.scheduler), prediction_of(folder.scheduler)
    with memory_errors(f"the model {path}", placement, "use device cpu or dtype float16"):
        parts = load_parts(folder, placement)
    codec = VaeCodec(parts.vae)
    model = TextGuidedModel(
        MotionNetwork(parts.unet, table, kind), table, TextConditioner(parts.tokenizer, parts.text_encoder)
    )
    limit = int(parts.unet.config.motion_max_seq_length)
    capabilities = Capabilities(
        name=f"diffusers:{path.name}",
        size_multiple=codec.size_multiple,
        context_length=min(TRAINED_FRAMES, limit),
        samplers=sampler_names(),
        schedulers=scheduler_names(),
    )
    return LatentEngine(codec, model, capabilities, placement, context_limit=limit)
