"""The standalone engine for Wan: makes a :class:`~redetail.engines.latent.LatentEngine` from files."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from redetail.engines.architectures.base import Architecture
from redetail.engines.base import Capabilities
from redetail.engines.device import Placement
from redetail.engines.latent import Codec, LatentEngine
from redetail.engines.libraries import quiet
from redetail.engines.memory import device_memory
from redetail.engines.offload import OffloadedCodec, offload_blocks
from redetail.engines.spec import ModelSpec
from redetail.engines.wan.codec import WanCodec
from redetail.engines.wan.fit import TEXT, TRANSFORMER, VAE, Fit, Way, model_of, part_facts
from redetail.engines.wan.model import WanParts, open_wan
from redetail.engines.wan.network import Experts, WanModel
from redetail.engines.wan.text import WanText
from redetail.errors import ModelError
from redetail.sampling import sampler_names
from redetail.sampling.schedulers import flow_scheduler_names

_CPU = torch.device("cpu")
TRAINED_FRAMES = 81
"""The number of frames that Wan was trained on: 21 latents."""


def load_wan_engine(family: Architecture, spec: ModelSpec, placement: Placement) -> LatentEngine:
    """The engine of the model that ``spec`` names.

    The VAE computes in float32 unless another precision was requested, since half precision causes banding. Raises
    :class:`~redetail.errors.ModelError` for files that cannot be used or do not fit one another, and
    :class:`~redetail.errors.DependencyError` without diffusers or transformers.
    """
    parts = open_wan(spec)
    fit = _fit(parts, placement)
    placement = _placed(placement, fit.way)
    device, offload = placement.device, placement.modes.offload
    with quiet():
        experts = _experts(parts, spec, placement)
        vae = parts.vae.load(replace(placement, dtype=placement.vae_dtype or torch.float32))
        beside = _CPU if offload else device
        encoder = parts.text.network.load(
            replace(placement, device=beside, dtype=placement.text_dtype or placement.dtype)
        )
        text = WanText(parts.text.tokenizer(), encoder, device if offload else None)
    codec: Codec = WanCodec(vae, parts.grid)
    if offload:
        vae.to("cpu")
        codec = OffloadedCodec(codec, vae, device)
    capabilities = Capabilities(
        name=f"wan:{Path(spec.checkpoint or '').name}",
        size_multiple=parts.grid.spatial * parts.patch,
        context_length=TRAINED_FRAMES,
        samplers=sampler_names(),
        schedulers=flow_scheduler_names(),
        defaults=family.defaults,
        presets=family.presets,
        uses_loras=True,
        uses_shift=True,
        has_vae=True,
    )
    return LatentEngine(codec, WanModel(experts, text, parts.shift), capabilities, placement, memory_plan=fit.plan)


def _experts(parts: WanParts, spec: ModelSpec, placement: Placement) -> Experts:
    """The transformers; with ``offload``, two of them take turns on the device."""
    if parts.low_noise is None and spec.high_noise_loras:
        raise ModelError(
            f"The LoRA {spec.high_noise_loras[0].path} is for the high-noise expert, but only one expert is used; "
            "give the LoRA with --lora, or also give the low-noise expert with --low-noise-checkpoint."
        )
    modes = placement.modes
    apart = modes.offload or modes.block_offload
    beside = replace(placement, device=_CPU) if apart else placement
    if parts.low_noise is None:
        transformers = [parts.transformer.load(beside if modes.block_offload else placement)]
        loras = [spec.loras]
    else:
        transformers = [part.load(beside) for part in (parts.transformer, parts.low_noise)]
        loras = [spec.high_noise_loras, spec.loras]
    for transformer in transformers:
        if modes.block_offload:
            offload_blocks(transformer, transformer.blocks, placement.device)
        if modes.compile:
            transformer.compile()
    return Experts(
        transformers, loras, boundary=parts.boundary if parts.low_noise else 0.0,
        device=placement.device if modes.offload and not modes.block_offload else None,
    )  # fmt: skip


def _fit(parts: WanParts, placement: Placement) -> Fit:
    """The way to use the device that was requested, or that its memory allows."""
    transformers = [parts.transformer, *([] if parts.low_noise is None else [parts.low_noise])]
    places = [*((TRANSFORMER, part) for part in transformers), (TEXT, parts.text.network), (VAE, parts.vae)]
    facts = [one for words, part in places for one in part_facts(words, part.path)]
    model, total = model_of(facts, placement, len(transformers)), device_memory(placement.device)
    return Fit(model, model.best_way(placement.asked, placement.device, total), total)


def _placed(placement: Placement, way: Way) -> Placement:
    """The placement in this way, without what these networks do not have: slices, tiles, batches and channels last."""
    absent: dict[str, Any] = {"vae_tile": 0, "vae_batch": None, "vae_pixels": None, "channels_last": False}
    return replace(placement, modes=replace(placement.modes, attention="sdpa", **absent, **asdict(way)))
