"""The standalone engine of Wan: a model folder becomes a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from redetail.engines.architectures.base import Architecture
from redetail.engines.base import Capabilities
from redetail.engines.device import Placement
from redetail.engines.folder import first_line, load_network
from redetail.engines.latent import Codec, LatentEngine
from redetail.engines.libraries import quiet
from redetail.engines.offload import OffloadedCodec
from redetail.engines.wan.codec import WanCodec
from redetail.engines.wan.folder import WanFolder, open_wan_folder
from redetail.engines.wan.network import WanModel
from redetail.engines.wan.text import WanText
from redetail.engines.wan.transformer import load_transformer
from redetail.errors import ModelError
from redetail.optional import require
from redetail.sampling import sampler_names
from redetail.sampling.schedulers import flow_scheduler_names

TRAINED_FRAMES = 81
"""What Wan was trained on: 21 latents."""


def load_wan_engine(family: Architecture, path: Path, placement: Placement) -> LatentEngine:
    """The engine of the model in a folder.

    The VAE computes in float32 unless another precision was asked for: in half precision it bands. Raises
    :class:`~redetail.errors.ModelError` for a folder that cannot be used, and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    folder, placement = open_wan_folder(path), _placed(placement)
    device, offload = placement.device, placement.modes.offload
    with quiet():
        transformer = load_transformer(folder.transformer, placement)
        vae = _network(load_network(folder.vae, placement.vae_dtype or torch.float32), device)
        encoder = load_network(folder.text, placement.text_dtype or placement.dtype)
        encoder = _network(encoder, torch.device("cpu") if offload else device)
        text = WanText(_tokenizer(folder), encoder, device if offload else None)
    if placement.modes.compile:
        transformer.compile()
    codec: Codec = WanCodec(vae, folder.grid)
    if offload:
        vae.to("cpu")
        codec = OffloadedCodec(codec, vae, device)
    capabilities = Capabilities(
        name=f"wan:{path.name}",
        size_multiple=folder.grid.spatial * folder.patch,
        context_length=TRAINED_FRAMES,
        samplers=sampler_names(),
        schedulers=flow_scheduler_names(),
        defaults=family.defaults,
        presets=family.presets,
        uses_shift=True,
    )
    return LatentEngine(codec, WanModel(transformer, text, folder.shift), capabilities, placement)


def _placed(placement: Placement) -> Placement:
    """The placement without what these networks do not have: slices, tiles, batches and channels last."""
    modes = replace(placement.modes, attention="sdpa", channels_last=False, vae_tile=0, vae_batch=None, vae_pixels=None)
    return replace(placement, modes=modes)


def _network(network: Any, device: torch.device) -> Any:
    return network.requires_grad_(False).eval().to(device)


def _tokenizer(folder: WanFolder) -> Any:
    try:
        return require("transformers").AutoTokenizer.from_pretrained(str(folder.tokenizer), local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise ModelError(f"The part {folder.tokenizer} is not a tokenizer: {first_line(error)}") from error
